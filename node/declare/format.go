package declare

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"gopkg.in/yaml.v3"
)

// Format writes documents as YAML, in the order of Sort. Parse reads the same
// documents from it. Fields at their default are left out.
func Format(documents []Document) ([]byte, error) {
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	for _, d := range Sort(documents) {
		kind, ok := kindOf(d.Kind)
		if !ok {
			continue
		}
		n := &yaml.Node{Kind: yaml.MappingNode}
		add := func(name string, v *yaml.Node) { n.Content = append(n.Content, quoted(name), v) }
		add("kind", quoted(d.Kind))
		add(kind.ID, quoted(d.Name))
		for _, f := range kind.Fields {
			v := d.Fields[f.Name]
			if reflect.DeepEqual(v, f.Default) {
				continue
			}
			value, err := valueNode(v)
			if err != nil {
				return nil, err
			}
			add(f.Name, value)
		}
		if err := enc.Encode(n); err != nil {
			return nil, err
		}
	}
	if len(documents) > 0 {
		if err := enc.Close(); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// Sort orders documents as they are written: by kind, then by name.
func Sort(documents []Document) []Document {
	var order []string
	for _, k := range Kinds() {
		order = append(order, k.Name)
	}
	out := slices.Clone(documents)
	slices.SortStableFunc(out, func(a, b Document) int {
		if d := slices.Index(order, a.Kind) - slices.Index(order, b.Kind); d != 0 {
			return d
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}

func valueNode(v any) (*yaml.Node, error) {
	switch v := v.(type) {
	case string:
		return quoted(v), nil
	case []string:
		n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, s := range v {
			n.Content = append(n.Content, quoted(s))
		}
		return n, nil
	case map[string]string:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			n.Content = append(n.Content, quoted(k), quoted(v[k]))
		}
		return n, nil
	}
	n := &yaml.Node{}
	return n, n.Encode(v)
}

// quoted is a string that is read again as it was: in quotes, with escapes,
// unless it is plainly a word.
func quoted(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	if !wordForm(s) {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// wordForm tells what needs no quotes in YAML. What else is a number, a
// boolean or null there, the encoder quotes by its tag.
func wordForm(s string) bool {
	for i, r := range s {
		if r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && (i == 0 || !strings.ContainsRune("._/-", r)) {
			return false
		}
	}
	return s != "" && len(s) <= 64
}
