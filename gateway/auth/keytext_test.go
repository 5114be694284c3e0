package auth

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNewTextParses(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		text, id, hash := NewText()
		p, ok := Parse([]byte(text))
		if !ok || string(p.ID) != id || Hash(p.Secret) != hash {
			t.Fatalf("%q parses as %q, %v; made as %q", text, p.ID, ok, id)
		}
		if seen[id] {
			t.Fatalf("key %q is not fresh", id)
		}
		seen[id] = true
	}
}

func TestParseRefuses(t *testing.T) {
	secret := strings.Repeat("a", secretLen)
	good := Format("abcd", secret)
	for name, text := range map[string]string{
		"nothing":          "",
		"another prefix":   "sk" + good[2:],
		"cut short":        good[:len(good)-1],
		"one more":         good + "a",
		"upper case":       strings.ToUpper(good),
		"a space before":   " " + good,
		"a digit of none":  Format("abc1", secret),
		"a short id":       Format("abc", secret),
		"a long id":        Format(strings.Repeat("a", maxID+1), secret),
		"a short secret":   Format("abcd", secret[1:]),
		"another dash":     strings.Replace(good, "-", "_", 2),
		"only dashes":      strings.Repeat("-", len(good)),
		"a key for OpenAI": "sk-proj-" + strings.Repeat("x", 60),
	} {
		if p, ok := Parse([]byte(text)); ok {
			t.Errorf("%s: %q parses as %q", name, text, p.ID)
		}
	}
	for _, id := range []string{"abcd", strings.Repeat("z", maxID)} {
		if _, ok := Parse([]byte(Format(id, secret))); !ok {
			t.Errorf("id %q is refused", id)
		}
	}
}

// TestParseNoticesTypos changes one character, or swaps two neighbours: none
// of that may look like a key, so that it is told from an unknown one.
func TestParseNoticesTypos(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, _, _ := NewText()
		b := []byte(text)
		i := rapid.IntRange(0, len(b)-2).Draw(t, "at")
		if rapid.Bool().Draw(t, "swap") {
			b[i], b[i+1] = b[i+1], b[i]
		} else {
			b[i] = rapid.Byte().Draw(t, "character")
		}
		if _, ok := Parse(b); ok != (string(b) == text) {
			t.Fatalf("%q, once %q: parses %v", b, text, ok)
		}
	})
}

func FuzzParse(f *testing.F) {
	text, _, _ := NewText()
	f.Add([]byte(text))
	f.Add([]byte("lb--"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, ok := Parse(b)
		if ok && Format(string(p.ID), string(p.Secret)) != string(b) {
			t.Errorf("%q parses as %q and %q, which make another key", b, p.ID, p.Secret)
		}
	})
}
