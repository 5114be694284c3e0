package tools

import "strings"

// space is JSON's.
const space = " \t\r\n"

// A Watch looks for the first words of a call in the bytes that a model writes freely.
type Watch struct {
	mark  string
	start bool
	tail  string // the last bytes, which may be the mark's first
	off   bool   // no call can begin any more
}

// NewWatch watches from the beginning of an answer.
func (f *Family) NewWatch() *Watch { return &Watch{mark: f.Mark, start: f.AtStart} }

// Completes reports whether the next piece completes the mark, and with how many of its bytes.
func (w *Watch) Completes(piece []byte) (int, bool) {
	if w.off {
		return 0, false
	}
	text := w.tail + string(piece)
	at := strings.Index(text, w.mark)
	if at < 0 || w.start && strings.TrimLeft(text[:at], space) != "" {
		return 0, false
	}
	return at + len(w.mark) - len(w.tail), true
}

// Push tells what was written.
func (w *Watch) Push(piece []byte) {
	if w.off {
		return
	}
	w.tail += string(piece)
	if w.start {
		w.tail = strings.TrimLeft(w.tail, space)
		w.off = !strings.HasPrefix(w.mark, w.tail)
		return
	}
	w.tail = w.tail[len(w.tail)-begun(w.tail, w.mark):]
}

// begun is the length of the longest end of text with which mark begins, mark itself excepted.
func begun(text, mark string) int {
	for n := min(len(text), len(mark)-1); n > 0; n-- {
		if strings.HasPrefix(mark, text[len(text)-n:]) {
			return n
		}
	}
	return 0
}
