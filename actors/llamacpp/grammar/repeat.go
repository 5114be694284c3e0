package grammar

import (
	"strings"
	"unicode/utf8"
)

// repeated is item at least low times, high at most (below 0: without bound). What may be empty is repeated as what may
// not: (x?){9} is x{0,9}, which can be read in one way only.
func repeated(item node, low, high int) node {
	if s, ok := item.(seq); ok && len(s) == 0 {
		return item
	}
	if high == 0 {
		return seq{}
	}
	if s, ok := item.(seq); ok && len(s) == 1 {
		item = s[0]
	}
	if inner, ok := item.(rep); ok && inner.min == 0 {
		most := -1
		if inner.max >= 0 && high >= 0 {
			most = inner.max * high
		}
		if most <= maxRepeats {
			return rep{inner.item, 0, most}
		}
	}
	if inner, ok := item.(rep); ok && inner.min == 1 && inner.max < 0 { // (x+)* is x*, (x+){2,3} is x{2,}
		return rep{inner.item, low, -1}
	}
	if empty(item) {
		low = 0
	}
	return rep{item, low, high}
}

// empty reports whether nothing at all conforms to a pattern's part.
func empty(n node) bool {
	switch n := n.(type) {
	case seq:
		for _, m := range n {
			if !empty(m) {
				return false
			}
		}
		return true
	case alt:
		for _, m := range n {
			if empty(m) {
				return true
			}
		}
	case rep:
		return n.min == 0 || empty(n.item)
	case literal:
		return n == ""
	}
	return false
}

// joined has neighbours that repeat the same as one: x{0,9}x{9} is x{9,18}.
func joined(s seq) seq {
	var out seq
	for _, n := range s {
		this, ok := n.(rep)
		if ok && len(out) > 0 {
			last, ok := out[len(out)-1].(rep)
			if ok && written(last.item) == written(this.item) && last.min+this.min <= maxRepeats && last.max+this.max <= maxRepeats {
				most := -1
				if last.max >= 0 && this.max >= 0 {
					most = last.max + this.max
				}
				out[len(out)-1] = rep{last.item, last.min + this.min, most}
				continue
			}
		}
		out = append(out, n)
	}
	return out
}

func written(n node) string {
	var b strings.Builder
	n.write(&b)
	return b.String()
}

// oneText is one of the texts. What they begin with in common is written once, so that llama.cpp has few places to
// try; below a depth it is not, as groups cannot be nested without end.
func oneText(texts []string, depth int) node {
	if len(texts) == 1 {
		return literal(texts[0])
	}
	if depth > maxDepth {
		a := make(alt, len(texts))
		for i, t := range texts {
			a[i] = literal(t)
		}
		return a
	}
	var order []rune
	by := map[rune][]string{}
	var a alt
	ends := false
	for _, t := range texts {
		if t == "" {
			ends = true
			continue
		}
		first, _ := utf8.DecodeRuneInString(t)
		if by[first] == nil {
			order = append(order, first)
		}
		by[first] = append(by[first], t)
	}
	for _, first := range order {
		group := by[first]
		if begin := common(group); len(group) > 1 {
			for i := range group {
				group[i] = group[i][len(begin):]
			}
			a = append(a, seq{literal(begin), oneText(group, depth+1)})
			continue
		}
		a = append(a, literal(group[0]))
	}
	if ends {
		a = append(a, literal(""))
	}
	return a
}

// common is what all texts begin with, in whole characters.
func common(texts []string) string {
	begin := texts[0]
	for _, t := range texts[1:] {
		n := 0
		for i, r := range begin {
			if !strings.HasPrefix(t[min(i, len(t)):], string(r)) {
				break
			}
			n = i + len(string(r))
		}
		begin = begin[:n]
	}
	return begin
}
