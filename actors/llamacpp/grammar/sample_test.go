package grammar

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// A writer makes a text of a grammar, by chance; below a depth it takes the shortest way out.
type writer struct {
	rules   rules
	heights map[string]int
	random  *rand.Rand
	out     strings.Builder
}

func sample(r rules, random *rand.Rand) string {
	w := &writer{rules: r, heights: r.heights(), random: random}
	w.write(r["root"], 0)
	return w.out.String()
}

func (w *writer) write(n node, depth int) {
	short := depth > 12 || w.out.Len() > 4000
	switch n := n.(type) {
	case literal:
		w.out.WriteString(string(n))
	case class:
		w.out.WriteRune(w.pick(string(n)))
	case ref:
		w.write(w.rules[string(n)], depth+1)
	case seq:
		for _, m := range n {
			w.write(m, depth)
		}
	case alt:
		at := w.random.IntN(len(n))
		if short || height(n[at], w.heights) == endless {
			for i := range n {
				if height(n[i], w.heights) < height(n[at], w.heights) {
					at = i
				}
			}
		}
		w.write(n[at], depth)
	case rep:
		times := n.min
		if most := n.max; !short {
			if most < 0 || most > n.min+4 {
				most = n.min + 4
			}
			times += w.random.IntN(most - n.min + 1)
		}
		for range times {
			w.write(n.item, depth+1)
		}
	}
}

// pick reads a class as llama.cpp does.
func (w *writer) pick(text string) rune {
	text, not := strings.CutPrefix(text, "^")
	var spans [][2]rune
	next := func() rune {
		r, size := utf8.DecodeRuneInString(text)
		text = text[size:]
		if r != '\\' {
			return r
		}
		kind := text[0]
		text = text[1:]
		digits, ok := map[byte]int{'x': 2, 'u': 4, 'U': 8}[kind]
		if !ok {
			return rune(kind)
		}
		r = 0
		for _, d := range text[:digits] {
			r = r<<4 | rune(strings.IndexRune("0123456789ABCDEF", d))
		}
		text = text[digits:]
		return r
	}
	for text != "" {
		low := next()
		high := low
		if strings.HasPrefix(text, "-") && len(text) > 1 {
			text = text[1:]
			high = next()
		}
		spans = append(spans, [2]rune{low, high})
	}
	if !not {
		s := spans[w.random.IntN(len(spans))]
		return s[0] + rune(w.random.IntN(int(s[1]-s[0])+1))
	}
	for {
		r := plainRunes[w.random.IntN(len(plainRunes))]
		inside := false
		for _, s := range spans {
			inside = inside || s[0] <= r && r <= s[1]
		}
		if !inside {
			return r
		}
	}
}

func TestPickReadsClasses(t *testing.T) {
	w := &writer{random: rand.New(rand.NewPCG(1, 2))}
	for range 200 {
		if r := w.pick(`^"\\\x7F\x00-\x1F`); r == '"' || r == '\\' || r < ' ' {
			t.Fatalf("%q", r)
		}
		if r := w.pick(`+\-`); r != '+' && r != '-' {
			t.Fatalf("%q", r)
		}
		if r := w.pick(`\u00E4-\u00E6`); r < 0xe4 || r > 0xe6 {
			t.Fatalf("%q", r)
		}
	}
}

var plainRunes = []rune("aZ09 ~!#[]{}:,'äß€😀")
