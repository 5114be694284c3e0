package openai

import (
	"strings"
	"unicode/utf8"
)

// Text turns the bytes of a model's tokens into text that may be sent: never part of a character,
// and never part of a stop string.
type Text struct {
	stops   []string
	raw     []byte // the beginning of a character
	held    string // whole characters that may be the beginning of a stop string
	stopped bool
	stop    string // that was found
}

// NewText returns a Text that ends before the first of stops.
func NewText(stops []string) *Text { return &Text{stops: stops} }

// Push takes a token's bytes and returns what may be sent now; stopped once a stop string is complete.
func (t *Text) Push(piece []byte) (text string, stopped bool) {
	if t.stopped {
		return "", true
	}
	t.raw = append(t.raw, piece...)
	whole, rest := splitRunes(t.raw)
	t.held += whole
	t.raw = append(t.raw[:0], rest...)
	if at, stop := firstStop(t.held, t.stops); at >= 0 {
		text, t.held, t.raw, t.stopped, t.stop = t.held[:at], "", nil, true, stop
		return text, true
	}
	keep := heldBack(t.held, t.stops)
	text, t.held = t.held[:len(t.held)-keep], t.held[len(t.held)-keep:]
	return text, false
}

// Stop is the stop string that ended the text; empty: none did.
func (t *Text) Stop() string { return t.stop }

// Unstop ends the search for stop strings.
func (t *Text) Unstop() { t.stops = nil }

// Holding reports whether something is held back.
func (t *Text) Holding() bool { return t.held != "" || len(t.raw) > 0 }

// Flush returns what was held back, when no more tokens come. The beginning of a character whose
// rest never came is left out.
func (t *Text) Flush() string {
	text := t.held
	t.held, t.raw = "", nil
	return text
}

// splitRunes separates an unfinished character at the end; bytes that can never become one are
// replaced by U+FFFD.
func splitRunes(b []byte) (string, []byte) {
	cut := len(b)
	for i := 1; i <= min(utf8.UTFMax-1, len(b)); i++ {
		c := b[len(b)-i]
		if utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(b[len(b)-i:]) {
				cut = len(b) - i
			}
			break
		}
	}
	return strings.ToValidUTF8(string(b[:cut]), "\uFFFD"), b[cut:]
}

// firstStop is where the earliest stop string begins, or -1, and which that is.
func firstStop(s string, stops []string) (first int, which string) {
	first = -1
	for _, stop := range stops {
		if i := strings.Index(s, stop); i >= 0 && (first < 0 || i < first) {
			first, which = i, stop
		}
	}
	return first, which
}

// heldBack is the length of the longest end of s with which a stop string begins.
func heldBack(s string, stops []string) int {
	longest := 0
	for _, stop := range stops {
		for n := min(len(stop)-1, len(s)); n > longest; n-- {
			if strings.HasSuffix(s, stop[:n]) {
				longest = n
			}
		}
	}
	return longest
}
