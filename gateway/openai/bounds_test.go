package openai

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
)

func TestBounded(t *testing.T) {
	filler := strings.Repeat("x", boundsFrom)
	for name, c := range map[string]struct {
		body string
		code spec.Code
	}{
		"text":                {`{"a":"` + strings.Repeat(`,[{\"\\`, MaxValues/2) + `"}`, ""},
		"an escaped end":      {`{"a":"` + filler + `\\","b":[1]}`, ""},
		"so many values":      {`[` + strings.Repeat("1,", MaxValues-2) + `1]`, ""},
		"too many values":     {`[` + strings.Repeat("1,", MaxValues) + `1]`, spec.CodeInvalidRequest},
		"too many objects":    {`[` + strings.Repeat("{},", MaxValues/2) + `1]`, spec.CodeInvalidRequest},
		"deep":                {`{"f":"` + filler + `","a":` + strings.Repeat("[", MaxDepth-1) + strings.Repeat("]", MaxDepth-1) + "}", ""},
		"too deep":            {`{"f":"` + filler + `","a":` + strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth) + "}", spec.CodeInvalidJSON},
		"a string of no end":  {`{"a":"` + filler, ""},
		"small, parsed later": {strings.Repeat("[", 1000), ""},
	} {
		if err := Bounded([]byte(c.body)); (err == nil) != (c.code == "") || spec.CodeOf(err) != c.code && err != nil {
			t.Errorf("%s: %v, want %q", name, err, c.code)
		}
	}
}

// FuzzBounded holds the depth that it reckons against a decoder's.
func FuzzBounded(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":"\\\""}]}`))
	f.Add([]byte(`"\"[["`))
	f.Fuzz(func(t *testing.T, piece []byte) {
		if !json.Valid(piece) {
			return
		}
		body := append([]byte(`[`+strings.Repeat(" ", boundsFrom)), piece...)
		body = append(body, ']')
		deep := append([]byte(strings.Repeat("[", MaxDepth)), body...)
		deep = append(deep, strings.Repeat("]", MaxDepth)...)
		if err := Bounded(body); err != nil && strings.Count(string(piece), "[")+strings.Count(string(piece), "{") < MaxDepth {
			t.Errorf("%q is refused: %v", piece, err)
		}
		if Bounded(deep) == nil {
			t.Errorf("%q is let through too deep", piece)
		}
	})
}

func BenchmarkBounded(b *testing.B) {
	body := []byte(`{"messages":[{"content":"` + strings.Repeat(`He said \"this, and that\", and went on. `, 100_000) + `"}]}`)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if Bounded(body) != nil {
			b.Fatal("refused")
		}
	}
}
