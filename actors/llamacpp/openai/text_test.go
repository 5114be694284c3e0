package openai

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func feed(stops []string, pieces ...string) (parts []string, stopped bool) {
	text := NewText(stops)
	for _, p := range pieces {
		var out string
		if out, stopped = text.Push([]byte(p)); out != "" {
			parts = append(parts, out)
		}
		if stopped {
			return parts, true
		}
	}
	if rest := text.Flush(); rest != "" {
		parts = append(parts, rest)
	}
	return parts, false
}

func TestStops(t *testing.T) {
	for _, c := range []struct {
		stops, pieces []string
		want          string
		stopped       bool
	}{
		{nil, []string{"a", "b"}, "a|b", false},
		{[]string{"END"}, []string{"x E", "N", "D y"}, "x ", true},
		{[]string{"END"}, []string{"x E", "N", "X"}, "x |ENX", false},
		{[]string{"END"}, []string{"x EN"}, "x |EN", false},
		{[]string{"bc", "abcd"}, []string{"a", "bc"}, "a", true},
		{[]string{"\n\n"}, []string{"a\n", "b\n", "\nc"}, "a|\nb", true},
		{[]string{"é"}, []string{"a\xc3", "\xa9b"}, "a", true},
	} {
		parts, stopped := feed(c.stops, c.pieces...)
		if got := strings.Join(parts, "|"); got != c.want || stopped != c.stopped {
			t.Errorf("%q in %q: got %q, %t; want %q, %t", c.stops, c.pieces, got, stopped, c.want, c.stopped)
		}
	}
}

func TestCharactersStayWhole(t *testing.T) {
	parts, _ := feed(nil, "\xf0\x9f", "\x98", "\x80 \xe2", "\x82\xac", "\xff", "\xe2\x82")
	if got := strings.Join(parts, "|"); got != "😀 |€|\uFFFD" {
		t.Errorf("got %q", got)
	}
}

// However a text is cut into tokens, what is sent is the same, and whole.
func TestCutsDoNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOf(rapid.SampledFrom([]string{"a", "ab", "b", "é", "€", "😀", "\n", "STOP", "ST"})).Draw(t, "words")
		stops := rapid.SliceOfN(rapid.SampledFrom([]string{"STOP", "ab", "€b", "\n\n"}), 0, 2).Draw(t, "stops")
		all := strings.Join(words, "")
		want, wantStopped := all, false
		if at, _ := firstStop(all, stops); at >= 0 {
			want, wantStopped = all[:at], true
		}
		var pieces []string
		for rest := all; rest != ""; {
			n := rapid.IntRange(1, min(4, len(rest))).Draw(t, "cut")
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		parts, stopped := feed(stops, pieces...)
		for _, p := range parts {
			if !utf8.ValidString(p) {
				t.Fatalf("%q was cut within a character", p)
			}
		}
		if got := strings.Join(parts, ""); got != want || stopped != wantStopped {
			t.Fatalf("%q with stops %q: got %q, %t; want %q, %t", pieces, stops, got, stopped, want, wantStopped)
		}
	})
}
