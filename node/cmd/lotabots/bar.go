package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// A bar tells a person how far a transfer is: one line that changes, on a terminal, and
// else a line now and then.
type bar struct {
	mu    sync.Mutex
	to    io.Writer
	verb  string
	total int64 // bytes; 0: unknown
	done  int64
	from  int64 // that were there before it began
	began time.Time
	shown time.Time
	every time.Duration
	live  bool
}

const (
	barWidth  = 24
	barEvery  = 200 * time.Millisecond
	lineEvery = 10 * time.Second
)

func newBar(to io.Writer, verb string, total int64) *bar {
	b := &bar{to: to, verb: verb, total: total, began: time.Now(), shown: time.Now(), every: lineEvery}
	if f, ok := to.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		b.live, b.every = true, barEvery
	}
	return b
}

// set tells that so many bytes of so many are done.
func (b *bar) set(done, total int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done == 0 && b.from == 0 {
		b.from = done
	}
	b.done, b.total = done, total
	if now := time.Now(); now.Sub(b.shown) >= b.every {
		b.shown = now
		b.print()
	}
}

// print writes the line, with mu held.
func (b *bar) print() {
	text := b.line(time.Since(b.began))
	if b.live {
		fmt.Fprintf(b.to, "\r%s\x1b[K", text)
	} else {
		fmt.Fprintln(b.to, text)
	}
}

// line is what is told after so long.
func (b *bar) line(took time.Duration) string {
	rate := float64(b.done-b.from) / max(took.Seconds(), 0.001)
	text := fmt.Sprintf("%s %s", b.verb, size(uint64(b.done)))
	if b.total > 0 {
		part := min(1, float64(b.done)/float64(b.total))
		filled := int(part * barWidth)
		text = fmt.Sprintf("%s [%s%s] %3.0f %% of %s", b.verb, strings.Repeat("#", filled), strings.Repeat(".", barWidth-filled), 100*part, size(uint64(b.total)))
	}
	text += fmt.Sprintf(", %s/s", size(uint64(max(0, rate))))
	if left := float64(b.total - b.done); left > 0 && rate > 0 {
		text += ", " + time.Duration(left/rate*float64(time.Second)).Round(time.Second).String() + " left"
	}
	return text
}

// end leaves the terminal as it was.
func (b *bar) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.live {
		fmt.Fprint(b.to, "\r\x1b[K")
	}
}

// reader counts what is read.
func (b *bar) reader(r io.Reader) io.Reader { return &barReader{r: r, b: b} }

type barReader struct {
	r io.Reader
	b *bar
	n int64
}

func (r *barReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.n += int64(n)
	r.b.set(r.n, r.b.total)
	return n, err
}
