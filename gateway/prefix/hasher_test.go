package prefix

import (
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"testing"
)

// The engine's examples are what both sides are tested against.
func TestNamesAreTheEngines(t *testing.T) {
	raw, err := os.ReadFile("../../actors/llamacpp/prefix/testdata/names.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Kind     Kind
		Salt     string
		Messages [][2]string
		Text     string
		Tokens   []int32
		Names    []string
	}
	if err := json.Unmarshal(raw, &cases); err != nil || len(cases) < 4 {
		t.Fatalf("%d cases: %v", len(cases), err)
	}
	var h Hasher
	for _, c := range cases {
		h.Start(c.Kind, c.Salt)
		var got []uint64
		for _, m := range c.Messages {
			h.Message([]byte(m[0]))
			h.Write([]byte(m[1][:len(m[1])/2]))
			h.Write([]byte(m[1][len(m[1])/2:]))
			got = append(got, h.End())
		}
		for text := c.Text; len(text) >= TextBlock; text = text[TextBlock:] {
			h.Block()
			h.Write([]byte(text[:TextBlock]))
			got = append(got, h.End())
		}
		for tokens := c.Tokens; len(tokens) >= TokenBlock; tokens = tokens[TokenBlock:] {
			h.Block()
			for _, n := range tokens[:TokenBlock] {
				h.Token(n)
			}
			got = append(got, h.End())
		}
		var want []uint64
		for _, n := range c.Names {
			w, _ := strconv.ParseUint(n, 16, 64)
			want = append(want, w)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s, salt %q: %x, want %x", c.Kind, c.Salt, got, want)
		}
	}
}

func TestAnnouncedBlocks(t *testing.T) {
	var got []int
	for i := -1; i < 2*MaxBlocks; i++ {
		if Announced(i) {
			got = append(got, i)
		}
	}
	if want := []int{1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// A long conversation keeps its beginning and its end.
func TestPromptKeepsBothEnds(t *testing.T) {
	var p Prompt
	for i := range 100 {
		p.Add(uint64(i+1), 10*(i+1))
		if i == 1 || i == 3 {
			p.Opened()
		}
		if i == 97 {
			p.Answered()
		}
	}
	n := p.Names()
	if p.Len() != kept || n[0] != 1 || n[front-1] != front || n[front] != 100-(kept-front)+1 || n[kept-1] != 100 {
		t.Errorf("kept %v", n)
	}
	if p.Opening() != 2 || p.openings != 20 || p.earlier != 980 {
		t.Errorf("%+v", p)
	}
	if p.Reset(); p.Len() != 0 || p.Opening() != 0 {
		t.Errorf("after Reset %+v", p)
	}
}
