package grammar

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// An element is one place of a rule as llama.cpp holds it: a character to be read, or another rule.
type element struct {
	rule   int       // where it is no character: another rule; -1: a character
	ranges [][2]rune // in their order, none in another
	not    bool
}

// A flat grammar has its rules as alternatives of elements; repetitions are rules of their own, as llama.cpp makes them.
type flat struct {
	rules [][][]element
	names map[string]int
}

var (
	errGBNF = errors.New("the grammar is not in the form that this package writes")
	errSize = errors.New("it is too large")
)

// maxElements bounds what repetitions unfold to.
const maxElements = 1 << 20

// A reader flattens the text of a grammar that this package wrote.
type reader struct {
	flat
	text string
	size int
}

func flatten(text string) (flat, error) {
	r := &reader{flat: flat{names: map[string]int{}}}
	for line := range strings.Lines(text) {
		name, body, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ::= ")
		if !ok {
			return r.flat, errGBNF
		}
		r.text = body
		n := r.named(name)
		alternatives, err := r.alternatives()
		if err != nil {
			return r.flat, err
		}
		if r.text != "" {
			return r.flat, errGBNF
		}
		r.rules[n] = alternatives
	}
	if len(r.rules[r.named("root")]) == 0 {
		return r.flat, errGBNF
	}
	return r.flat, nil
}

func (r *reader) named(name string) int {
	n, ok := r.names[name]
	if !ok {
		n = r.add(nil)
		r.names[name] = n
	}
	return n
}

func (r *reader) add(alternatives [][]element) int {
	r.rules = append(r.rules, alternatives)
	return len(r.rules) - 1
}

func (r *reader) alternatives() ([][]element, error) {
	all := [][]element{nil}
	for r.text != "" && r.text[0] != ')' {
		last := &all[len(all)-1]
		switch c := r.text[0]; {
		case c == ' ':
			r.text = r.text[1:]
		case c == '|':
			r.text = r.text[1:]
			all = append(all, nil)
		default:
			item, err := r.item()
			if err != nil {
				return nil, err
			}
			if item, err = r.repeated(item); err != nil {
				return nil, err
			}
			*last = append(*last, item...)
			if r.size += len(item); r.size > maxElements {
				return nil, errSize
			}
		}
	}
	return all, nil
}

func (r *reader) item() ([]element, error) {
	switch c := r.text[0]; c {
	case '(':
		r.text = r.text[1:]
		inside, err := r.alternatives()
		if err != nil {
			return nil, err
		}
		if r.text == "" {
			return nil, errGBNF
		}
		r.text = r.text[1:]
		return []element{{rule: r.add(inside)}}, nil
	case '"', '[':
		return r.characters(c == '[')
	}
	end := strings.IndexAny(r.text, ` )*+?{|`)
	if end < 0 {
		end = len(r.text)
	}
	if end == 0 {
		return nil, errGBNF
	}
	name := r.text[:end]
	r.text = r.text[end:]
	return []element{{rule: r.named(name)}}, nil
}

// characters reads a literal, one element for each of its characters, or a class, which is one element.
func (r *reader) characters(class bool) ([]element, error) {
	one, out, end := element{rule: -1}, []element(nil), byte('"')
	r.text = r.text[1:]
	if class {
		end = ']'
		r.text, one.not = strings.CutPrefix(r.text, "^")
	}
	for r.text != "" && r.text[0] != end {
		low := r.rune()
		high := low
		if class && strings.HasPrefix(r.text, "-") && len(r.text) > 1 && r.text[1] != end {
			r.text = r.text[1:]
			high = r.rune()
		}
		if class {
			one.ranges = append(one.ranges, [2]rune{low, high})
		} else {
			out = append(out, element{rule: -1, ranges: [][2]rune{{low, high}}})
		}
	}
	if r.text == "" {
		return nil, errGBNF
	}
	r.text = r.text[1:]
	if class {
		slices.SortFunc(one.ranges, func(a, b [2]rune) int { return cmp.Compare(a[0], b[0]) })
		out = []element{one}
	}
	return out, nil
}

func (r *reader) rune() rune {
	c, size := utf8.DecodeRuneInString(r.text)
	r.text = r.text[size:]
	if c != '\\' || r.text == "" {
		return c
	}
	kind := r.text[0]
	r.text = r.text[1:]
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[kind]
	if digits == 0 || len(r.text) < digits {
		return rune(kind)
	}
	n, err := strconv.ParseUint(r.text[:digits], 16, 32)
	if err != nil {
		return rune(kind)
	}
	r.text = r.text[digits:]
	return rune(n)
}

// repeated unfolds the repetition that follows an item, if one does, as llama.cpp does.
func (r *reader) repeated(item []element) ([]element, error) {
	if r.text == "" {
		return item, nil
	}
	var low, high int
	switch r.text[0] {
	case '*':
		low, high = 0, -1
	case '+':
		low, high = 1, -1
	case '?':
		low, high = 0, 1
	case '{':
		end := strings.IndexByte(r.text, '}')
		if end < 0 {
			return nil, errGBNF
		}
		least, most, two := strings.Cut(r.text[1:end], ",")
		low, _ = strconv.Atoi(least)
		if high = low; two {
			if high = -1; most != "" {
				high, _ = strconv.Atoi(most)
			}
		}
		r.text = r.text[end:]
	default:
		return item, nil
	}
	r.text = r.text[1:]
	if r.size += len(item) * (low + max(high-low, 1)); r.size > maxElements {
		return nil, errSize
	}
	var out []element
	for range low {
		out = append(out, item...)
	}
	switch {
	case high < 0:
		n := r.add(nil)
		r.rules[n] = [][]element{append(append([]element(nil), item...), element{rule: n}), nil}
		out = append(out, element{rule: n})
	case high > low:
		n := r.add([][]element{append([]element(nil), item...), nil})
		for range high - low - 1 {
			n = r.add([][]element{append(append([]element(nil), item...), element{rule: n}), nil})
		}
		out = append(out, element{rule: n})
	}
	return out, nil
}
