package prefix

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A reader that asks now and then, and sometimes forgets, knows what is held.
func TestReaderFollows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := NewIndex()
		holders, known := map[string]int{}, map[string]int{}
		epoch, seq := "", uint64(0)
		tokensOf := func(name string) int { return 10 + int(name[0]) }
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			name := rapid.StringMatching(`[a-f]`).Draw(t, "name")
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0, 1:
				x.Add(Mark{name, tokensOf(name)})
				holders[name]++
			case 2, 3:
				x.Remove(Mark{name, tokensOf(name)})
				if holders[name]--; holders[name] <= 0 {
					delete(holders, name)
				}
			case 4:
				epoch, seq = "another", rapid.Uint64().Draw(t, "seq")
			default:
				c := x.Since(epoch, seq)
				if c.Reset {
					clear(known)
				}
				for _, m := range c.Added {
					known[m.Name] = m.Tokens
				}
				for _, r := range c.Removed {
					delete(known, r)
				}
				epoch, seq = c.Epoch, c.Seq
				want := map[string]int{}
				for n := range holders {
					want[n] = tokensOf(n)
				}
				if !maps.Equal(known, want) || x.Len() != len(want) {
					t.Fatalf("known %v, held %v", known, want)
				}
			}
		}
	})
}

func TestAReaderTooFarBehindIsReset(t *testing.T) {
	x := NewIndex()
	first := x.Since("", 0)
	for i := range 3 * keptChanges {
		x.Add(Mark{fmt.Sprint(i), 1})
	}
	if c := x.Since(first.Epoch, first.Seq); !c.Reset || len(c.Added) != 3*keptChanges {
		t.Errorf("reset %t, %d added", c.Reset, len(c.Added))
	}
	if c := x.Since(first.Epoch, 3*keptChanges-5); c.Reset || len(c.Added) != 5 {
		t.Errorf("reset %t, %d added of 5", c.Reset, len(c.Added))
	}
	if c := x.Since(first.Epoch, 3*keptChanges+1); !c.Reset {
		t.Error("a number from the future was taken")
	}
}

// The file is what other implementations are checked against; names must never change.
func TestNamesAreAsWritten(t *testing.T) {
	raw, err := os.ReadFile("testdata/names.json")
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
	seen := map[string]bool{}
	for _, c := range cases {
		chain := Start(c.Kind, c.Salt)
		var got []string
		for _, m := range c.Messages {
			chain = chain.Message(m[0], m[1])
			got = append(got, chain.Name())
		}
		for text := c.Text; len(text) >= TextBlock; text = text[TextBlock:] {
			chain = chain.Block([]byte(text[:TextBlock]))
			got = append(got, chain.Name())
		}
		for tokens := c.Tokens; len(tokens) >= TokenBlock; tokens = tokens[TokenBlock:] {
			chain = chain.TokenBlock(tokens[:TokenBlock])
			got = append(got, chain.Name())
		}
		if strings.Join(got, " ") != strings.Join(c.Names, " ") {
			t.Errorf("%s, salt %q: %q, want %q", c.Kind, c.Salt, got, c.Names)
		}
		for _, n := range got {
			if seen[n] {
				t.Errorf("%s names two beginnings", n)
			}
			seen[n] = true
		}
	}
}
