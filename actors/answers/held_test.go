package answers

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
)

// long writes so many MiB and lands.
func long(f *Flight, mebibytes int) {
	f.Open(200, "application/json", spec.Load{}, false)
	piece := strings.Repeat("x", 32<<10)
	for range mebibytes * 32 {
		if _, err := io.WriteString(f, piece); err != nil {
			f.Fail(err)
			return
		}
	}
	f.Land(spec.Load{}, false)
}

// TestASlowReaderFallsOut: others do not wait for it for ever, be it still or slow.
func TestASlowReaderFallsOut(t *testing.T) {
	for name, pace := range map[string]func(r io.Reader){
		"still": func(r io.Reader) { time.Sleep(time.Minute) },
		"slow": func(r io.Reader) {
			for buf := make([]byte, 1<<10); ; time.Sleep(20 * time.Millisecond) {
				if _, err := r.Read(buf); err != nil {
					return
				}
			}
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := New(Config{Bytes: 64 << 20})
			lead, slow := c.Ask(ask(1)), c.Ask(ask(1))
			go long(lead.Flight, 20)
			fell := make(chan error, 1)
			go func() {
				pace(slow.Reader)
				_, err := io.Copy(io.Discard, slow.Reader)
				fell <- err
			}()
			began := time.Now()
			if n, err := io.Copy(io.Discard, lead.Reader); err != nil || n != 20<<20 {
				t.Errorf("%s: %d bytes, %v", name, n, err)
			}
			if took := time.Since(began); took > 3*behindFor {
				t.Errorf("%s: it held the other up for %v", name, took)
			}
			if err := <-fell; !errors.Is(err, spec.ErrBehind) || !errors.Is(err, spec.ErrBroken) {
				t.Errorf("%s: it ended with %v", name, err)
			}
			_, _ = lead.Reader.Close(), slow.Reader.Close()
			if c.mu.held != 0 {
				t.Errorf("%s: %d bytes are counted for nobody", name, c.mu.held)
			}
		})
	}
}

// TestAllSlowKeepPace: nobody is behind where nobody waits.
func TestAllSlowKeepPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{Bytes: 64 << 20})
		lead, other := c.Ask(ask(1)), c.Ask(ask(1))
		go long(lead.Flight, 12)
		read := make(chan int64, 2)
		for _, r := range []*Reader{lead.Reader, other.Reader} {
			go func() {
				n := int64(0)
				for buf := make([]byte, 64<<10); ; time.Sleep(500 * time.Millisecond) {
					one, err := r.Read(buf)
					if n += int64(one); err != nil {
						read <- n
						return
					}
				}
			}()
		}
		for range 2 {
			if n := <-read; n != 12<<20 {
				t.Errorf("%d bytes", n)
			}
		}
	})
}

// TestFlightsAreInTheBound: what is held for those under way and what is kept are never more
// than there may be together, but for what each needs to pass on; and all is given back.
func TestFlightsAreInTheBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const bytes = 1 << 20
		c := New(Config{Bytes: bytes})
		type open struct {
			*Flight
			readers []*Reader
		}
		var flights []*open
		buf := make([]byte, 64<<10)
		drain := func(o *open) {
			for _, r := range o.readers {
				for at := r.at; at < o.mu.base+int64(len(o.mu.buf)); at = r.at {
					if _, err := r.Read(buf); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		end := func(i int) {
			o := flights[i]
			flights = append(flights[:i], flights[i+1:]...)
			if rapid.Bool().Draw(t, "whole") {
				_, _ = io.WriteString(o, strings.Repeat(" ", 10)+`],"choices":[{"index":0,"finish_reason":"stop"}]}`)
				drain(o)
				o.Land(spec.Load{}, false)
			} else {
				o.Fail(spec.ErrBroken)
			}
			for _, r := range o.readers {
				_ = r.Close()
			}
		}
		for n := range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch what := rapid.IntRange(0, 5).Draw(t, "what"); {
			case what == 0 || len(flights) == 0:
				r := ask(uint64(n))
				r.MaxBytes = bytes
				found := c.Ask(r)
				o := &open{found.Flight, []*Reader{found.Reader}}
				if rapid.Bool().Draw(t, "joined") {
					o.readers = append(o.readers, c.Ask(r).Reader)
				}
				o.Open(200, "application/json", spec.Load{}, false)
				_, _ = io.WriteString(o, `{"x":[`)
				flights = append(flights, o)
			case what == 1:
				end(rapid.IntRange(0, len(flights)-1).Draw(t, "of"))
			default:
				o := flights[rapid.IntRange(0, len(flights)-1).Draw(t, "of")]
				for range rapid.IntRange(1, 10).Draw(t, "pieces") {
					_, _ = io.WriteString(o, strings.Repeat(" ", 32<<10))
					drain(o)
				}
			}
			counted := 0
			for _, o := range flights {
				if counted += o.mu.counted; cap(o.mu.buf) > o.mu.counted {
					t.Fatalf("%d bytes are held, %d counted", cap(o.mu.buf), o.mu.counted)
				}
			}
			switch {
			case counted != c.mu.held:
				t.Fatalf("flights hold %d, and %d are counted", counted, c.mu.held)
			case c.mu.held > bytes/2+leastHeld*len(flights):
				t.Fatalf("%d bytes are held", c.mu.held)
			case c.mu.held+c.mu.total.bytes > max(bytes, c.mu.held):
				t.Fatalf("%d are held and %d kept, of %d", c.mu.held, c.mu.total.bytes, bytes)
			}
		}
		for len(flights) > 0 {
			end(0)
		}
		if c.mu.held != 0 {
			t.Fatalf("%d bytes are counted for nobody", c.mu.held)
		}
	})
}

// TestAnEndIsOnce: what fails after its end, as by a panic, ends nothing again.
func TestAnEndIsOnce(t *testing.T) {
	c := newCache()
	lead := c.Ask(ask(1))
	lands(lead.Flight, whole)
	lead.Flight.Fail(spec.ErrBroken)
	mustRead(t, lead.Reader, whole)
	c.Close()
}
