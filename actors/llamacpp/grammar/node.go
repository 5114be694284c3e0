package grammar

import (
	"fmt"
	"strings"
)

// A node is a part of a rule.
type node interface{ write(b *strings.Builder) }

type (
	literal string // these very characters
	// class is characters in GBNF's brackets, already escaped.
	class string
	ref   string // another rule
	seq   []node
	alt   []node
	// rep is item at least min times; max < 0: without bound.
	rep struct {
		item     node
		min, max int
	}
)

func (l literal) write(b *strings.Builder) {
	b.WriteByte('"')
	for _, r := range string(l) {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r > '~':
			writeRune(b, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}

// writeRune escapes in a form that both literals and classes know.
func writeRune(b *strings.Builder, r rune) {
	switch {
	case r <= 0xff:
		fmt.Fprintf(b, `\x%02X`, r)
	case r <= 0xffff:
		fmt.Fprintf(b, `\u%04X`, r)
	default:
		fmt.Fprintf(b, `\U%08X`, r)
	}
}

func (c class) write(b *strings.Builder) { b.WriteString("[" + string(c) + "]") }

func (r ref) write(b *strings.Builder) { b.WriteString(string(r)) }

func (s seq) write(b *strings.Builder) {
	if len(s) == 0 {
		b.WriteString(`""`)
	}
	for i, n := range s {
		if i > 0 {
			b.WriteByte(' ')
		}
		if a, ok := n.(alt); ok {
			group(a, b)
		} else {
			n.write(b)
		}
	}
}

func (a alt) write(b *strings.Builder) {
	for i, n := range a {
		if i > 0 {
			b.WriteString(" | ")
		}
		n.write(b)
	}
}

func (r rep) write(b *strings.Builder) {
	switch r.item.(type) {
	case ref, class:
		r.item.write(b)
	default:
		group(r.item, b)
	}
	switch {
	case r.min == 0 && r.max < 0:
		b.WriteByte('*')
	case r.min == 1 && r.max < 0:
		b.WriteByte('+')
	case r.min == 0 && r.max == 1:
		b.WriteByte('?')
	case r.max < 0:
		fmt.Fprintf(b, "{%d,}", r.min)
	case r.min == r.max:
		fmt.Fprintf(b, "{%d}", r.min)
	default:
		fmt.Fprintf(b, "{%d,%d}", r.min, r.max)
	}
}

func group(n node, b *strings.Builder) {
	b.WriteByte('(')
	n.write(b)
	b.WriteByte(')')
}

func optional(n node) node { return rep{n, 0, 1} }

// rules are named; root is where a text begins.
type rules map[string]node

func (r rules) String() string {
	var b strings.Builder
	for _, name := range sortedNames(r) {
		b.WriteString(name + " ::= ")
		r[name].write(&b)
		b.WriteByte('\n')
	}
	return b.String()
}
