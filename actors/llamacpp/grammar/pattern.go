package grammar

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp/syntax"
	"strings"
)

// pattern turns a regular expression into the rule of the strings that match, as JSON writes them
// between its quotes. Where it is not anchored, anything may stand before and after.
func pattern(text string) (node, error) {
	re, err := syntax.Parse(text, syntax.Perl&^syntax.OneLine)
	if err != nil {
		return nil, err
	}
	parts := []*syntax.Regexp{re}
	if re.Op == syntax.OpConcat {
		parts = re.Sub
	}
	anything := rep{ref("char"), 0, -1}
	var s seq
	begins := len(parts) > 0 && isBegin(parts[0])
	if begins {
		parts = parts[1:]
	} else {
		s = append(s, anything)
	}
	ends := len(parts) > 0 && isEnd(parts[len(parts)-1])
	if ends {
		parts = parts[:len(parts)-1]
	}
	for _, p := range parts {
		n, err := matching(p)
		if err != nil {
			return nil, err
		}
		s = append(s, n)
	}
	if !ends {
		s = append(s, anything)
	}
	s = joined(s)
	return s, readable(s)
}

func isBegin(re *syntax.Regexp) bool {
	return re.Op == syntax.OpBeginText || re.Op == syntax.OpBeginLine
}

func isEnd(re *syntax.Regexp) bool { return re.Op == syntax.OpEndText || re.Op == syntax.OpEndLine }

func matching(re *syntax.Regexp) (node, error) {
	switch re.Op {
	case syntax.OpEmptyMatch:
		return seq{}, nil
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase != 0 {
			return nil, fmt.Errorf("letters of either case (%s) are not supported", re)
		}
		return literal(inJSON(string(re.Rune))), nil
	case syntax.OpCharClass:
		return characters(re.Rune)
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return ref("char"), nil
	case syntax.OpCapture:
		return matching(re.Sub[0])
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest:
		n, err := matching(re.Sub[0])
		bounds := map[syntax.Op][2]int{syntax.OpStar: {0, -1}, syntax.OpPlus: {1, -1}, syntax.OpQuest: {0, 1}}[re.Op]
		if err != nil {
			return nil, err
		}
		return repeated(n, bounds[0], bounds[1]), nil
	case syntax.OpRepeat:
		n, err := matching(re.Sub[0])
		if err != nil {
			return nil, err
		}
		return repeated(n, re.Min, re.Max), nil
	case syntax.OpConcat, syntax.OpAlternate:
		parts := make([]node, len(re.Sub))
		for i, s := range re.Sub {
			var err error
			if parts[i], err = matching(s); err != nil {
				return nil, err
			}
		}
		if re.Op == syntax.OpConcat {
			return joined(parts), nil
		}
		return alt(parts), nil
	}
	return nil, fmt.Errorf("%q is not supported", re.String())
}

// characters turns ranges of characters into those that JSON writes as they are, and the others escaped.
func characters(ranges []rune) (node, error) {
	var plain strings.Builder
	var a alt
	for i := 0; i < len(ranges); i += 2 {
		low, high := ranges[i], ranges[i+1]
		for _, r := range []rune{'"', '\\'} {
			if low <= r && r <= high {
				a = append(a, literal(inJSON(string(r))))
			}
		}
		for r := max(low, 0); r <= min(high, 0x1f); r++ {
			a = append(a, literal(inJSON(string(r))))
		}
		for _, span := range [][2]rune{{' ', '!'}, {'#', '['}, {']', 0x7e}, {0x80, 0xd7ff}, {0xe000, 0x10ffff}} {
			if from, to := max(low, span[0]), min(high, span[1]); from <= to {
				writeRune(&plain, from)
				if from < to {
					plain.WriteByte('-')
					writeRune(&plain, to)
				}
			}
		}
	}
	if plain.Len() > 0 {
		a = append(alt{class(plain.String())}, a...)
	}
	if len(a) == 0 {
		return nil, errors.New("no character can match a class of it")
	}
	return a, nil
}

// inJSON is the text as JSON writes it, without the quotes.
func inJSON(text string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		panic(err) // a string can always be written
	}
	out := strings.TrimSuffix(b.String(), "\n")
	return out[1 : len(out)-1]
}
