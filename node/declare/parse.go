package declare

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/node/config"
)

// A Problem is one thing wrong with documents.
type Problem struct {
	Line     int    `json:"line,omitempty"`     // of the file; 0: of the cluster it was compared with
	Document string `json:"document,omitempty"` // kind and name
	Field    string `json:"field,omitempty"`
	Reason   string `json:"reason"`
	Nearest  string `json:"nearest,omitempty"` // what was probably meant
}

func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", p.Line)
	}
	if p.Document != "" {
		b.WriteString(p.Document + ": ")
	}
	if p.Field != "" {
		b.WriteString(p.Field + " ")
	}
	b.WriteString(p.Reason)
	if p.Nearest != "" {
		fmt.Fprintf(&b, "; did you mean %q?", p.Nearest)
	}
	return b.String()
}

// Problems is everything wrong with documents.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, x := range p {
		lines[i] = "  " + x.String()
	}
	return fmt.Sprintf("the documents have %d problem(s):\n%s", len(p), strings.Join(lines, "\n"))
}

// MaxBytes bounds what Parse reads.
const MaxBytes = 8 << 20

// Parse reads YAML documents. On bad ones the error is Problems, and lists all.
func Parse(raw []byte) ([]Document, error) {
	if len(raw) > MaxBytes {
		return nil, Problems{{Reason: fmt.Sprintf("the file has %d bytes, and may have %d", len(raw), MaxBytes)}}
	}
	p := parser{seen: map[string]int{}}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	for {
		var root yaml.Node
		err := dec.Decode(&root)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil { // what follows cannot be told apart
			p.problems = append(p.problems, Problem{Reason: "is no YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")})
			break
		}
		if len(root.Content) == 1 && !empty(root.Content[0]) {
			p.document(root.Content[0])
		}
	}
	if len(p.problems) > 0 {
		return nil, p.problems
	}
	return p.documents, nil
}

// empty tells a document that has comments alone.
func empty(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

type parser struct {
	documents []Document
	problems  Problems
	seen      map[string]int // title -> line
}

// document reads one document, or adds what is wrong with it.
func (p *parser) document(n *yaml.Node) {
	title := ""
	bad := func(at *yaml.Node, field, reason, nearest string) {
		p.problems = append(p.problems, Problem{Line: at.Line, Document: title, Field: field, Reason: reason, Nearest: nearest})
	}
	if n.Kind != yaml.MappingNode {
		bad(n, "", "a document must be a mapping that begins with its kind", "")
		return
	}
	given := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if _, twice := given[key.Value]; twice {
			bad(key, clip(key.Value), "is given twice", "")
		}
		given[key.Value] = n.Content[i+1]
	}
	kind, ok := p.kind(n, given["kind"], bad)
	if !ok {
		return
	}
	before := len(p.problems)
	d := kind.blank(scalar(given[kind.ID]))
	if title = kind.Name; d.Name != "" {
		title = kind.Name + " " + clip(d.Name)
	}
	if reason := kind.named(d.Name); reason != "" {
		bad(n, kind.ID, reason, "")
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Value == "kind" || key.Value == kind.ID {
			continue
		}
		f, known := kind.field(key.Value)
		if !known {
			bad(key, clip(key.Value), "is not known", config.Nearest(key.Value, kind.names()))
			continue
		}
		if _, scale := f.Default.(*spec.Scale); scale {
			if v, ok := readScale(value, bad); ok {
				d.Fields[f.Name] = v
			}
		} else if v, reason := read(f, value); reason != "" {
			bad(value, f.Name, reason, "")
		} else {
			d.Fields[f.Name] = v
		}
	}
	if len(p.problems) == before {
		kind.check(d, func(field, reason string) { bad(n, field, reason, "") })
	}
	if line, twice := p.seen[d.Title()]; twice && d.Name != "" {
		bad(n, "", fmt.Sprintf("is there already, at line %d", line), "")
	}
	p.seen[d.Title()] = n.Line
	p.documents = append(p.documents, d)
}

func (p *parser) kind(n, given *yaml.Node, bad func(at *yaml.Node, field, reason, nearest string)) (Kind, bool) {
	var names []string
	for _, k := range Kinds() {
		names = append(names, k.Name)
	}
	if given == nil {
		bad(n, "kind", "is missing: it must be "+strings.Join(names, ", "), "")
		return Kind{}, false
	}
	k, ok := kindOf(scalar(given))
	if !ok {
		bad(given, "kind", fmt.Sprintf("is %q, and must be one of %s", clip(scalar(given)), strings.Join(names, ", ")), config.Nearest(scalar(given), names))
	}
	return k, ok
}

func scalar(n *yaml.Node) string {
	if n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n == nil || n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return ""
	}
	return n.Value
}

// read reads one field; nothing after its colon is its default.
func read(f Field, n *yaml.Node) (v any, reason string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if empty(n) {
		return f.Default, ""
	}
	into := zero(f.Default)
	if err := n.Decode(into.Interface()); err != nil || wrong(f.Default, n) {
		return nil, "must be " + describe(f)
	}
	v = settled(into.Elem().Interface())
	if u, ok := v.(uint64); ok && f.Max > 0 && u > f.Max {
		return nil, "must be " + describe(f)
	}
	if !valid(v) {
		return nil, "must be UTF-8"
	}
	return v, ""
}

// wrong tells what the decoder takes and should not: fractions as numbers, and
// times, which it would write in a form of its own.
func wrong(like any, n *yaml.Node) bool {
	switch like.(type) {
	case uint64, int64:
		return n.Tag != "!!int"
	case string:
		return n.Kind != yaml.ScalarNode || n.Tag == "!!binary"
	case []string:
		return n.Kind != yaml.SequenceNode || !scalars(n.Content)
	case map[string]string:
		return n.Kind != yaml.MappingNode || !scalars(n.Content)
	}
	return false
}

func scalars(list []*yaml.Node) bool {
	for _, n := range list {
		if n.Kind != yaml.ScalarNode || n.Tag == "!!binary" || n.Tag == "!!merge" {
			return false
		}
	}
	return true
}

func valid(v any) bool {
	switch v := v.(type) {
	case string:
		return utf8.ValidString(v)
	case []string:
		for _, s := range v {
			if !utf8.ValidString(s) {
				return false
			}
		}
	case map[string]string:
		for k, s := range v {
			if !utf8.ValidString(k) || !utf8.ValidString(s) {
				return false
			}
		}
	}
	return true
}

func describe(f Field) string {
	switch f.Default.(type) {
	case uint64:
		if f.Max > 0 {
			return fmt.Sprintf("a whole number from 0 to %d", f.Max)
		}
		return "a whole number of 0 or more"
	case int64:
		return "a whole number"
	case []string:
		return "a list of strings"
	case map[string]string:
		return "a mapping of strings"
	}
	return "a string"
}

func clip(s string) string {
	const most = 64
	if len(s) > most {
		s = s[:most] + "..."
	}
	return strings.ToValidUTF8(s, "?")
}
