package batch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// TestWhatComesMeanwhileGoesTogether: the first goes at once, alone; the others wait for
// it, and go in one call.
func TestWhatComesMeanwhileGoesTogether(t *testing.T) {
	for _, counts := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := &fake{perCall: 10 * time.Millisecond, counts: counts}
			b := f.batcher(t)
			began := time.Now()
			out := together(b, usual, 64, plain, nil)
			tokens, told, held := 0, 0, time.Duration(0)
			for i, a := range out {
				mustServe(t, i, a, plain(i))
				tokens, told, held = tokens+len(plain(i))+2, told+a.usage["prompt_tokens"], held+a.held
				if a.usage["total_tokens"] != a.usage["prompt_tokens"] || len(a.usage) != 2 {
					t.Errorf("usage %v", a.usage)
				}
				if want := len(plain(i)) + 2; counts && a.usage["prompt_tokens"] != want {
					t.Errorf("request %d: %v, want %d", i, a.usage, want)
				}
			}
			if told != tokens {
				t.Errorf("%d tokens in all, the engine told %d", told, tokens)
			}
			if took := time.Since(began); took != 20*time.Millisecond || held != took {
				t.Errorf("it took %v, and slots were held for %v", took, held)
			}
			if fmt.Sprint(f.sizes) != "[1 63]" {
				t.Errorf("calls of %v", f.sizes)
			}
			if c := f.calls[1]; c.Tenant != "" || c.PromptTokens != 63*5 || c.Gateway != Gateway {
				t.Errorf("call %+v", c)
			}
		})
	}
}

func TestIdleTakesNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := (&fake{}).batcher(t)
		began := time.Now()
		mustServe(t, 0, together(b, usual, 1, plain, nil)[0], plain(0))
		if took := time.Since(began); took != 0 {
			t.Error(took)
		}
	})
}

// TestTheBadOneFailsAlone: with the engine's own words, and nobody else does.
func TestTheBadOneFailsAlone(t *testing.T) {
	for _, kind := range []string{"bad", "worse"} {
		synctest.Test(t, func(t *testing.T) {
			f := &fake{perCall: 10 * time.Millisecond}
			text := func(i int) string {
				if i == 17 || i == 40 {
					return fmt.Sprint(kind, i)
				}
				return plain(i)
			}
			for i, a := range together(f.batcher(t), usual, 50, text, nil) {
				if i != 17 && i != 40 {
					mustServe(t, i, a, plain(i))
				} else if a.status < 400 || !strings.Contains(a.text, "too l") {
					t.Errorf("request %d: %+v", i, a)
				}
			}
			if len(f.sizes) > 26 {
				t.Errorf("%d calls: %v", len(f.sizes), f.sizes)
			}
		})
	}
}

// TestAllBadEnds: an engine that fails everything is not asked for each.
func TestAllBadEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{perCall: time.Millisecond}
		for i, a := range together(f.batcher(t), usual, 65, func(i int) string { return fmt.Sprint("worse", i) }, nil) {
			if a.status != 500 {
				t.Errorf("request %d: %+v", i, a)
			}
		}
		if len(f.sizes) > 40 {
			t.Errorf("%d calls", len(f.sizes))
		}
	})
}

// TestTheEnginesMaximumIsLearnt: a call that is refused for its size is not made again.
func TestTheEnginesMaximumIsLearnt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{perCall: time.Millisecond, most: 32}
		b := f.batcher(t)
		for range 2 {
			for i, a := range together(b, usual, 65, plain, nil) {
				mustServe(t, i, a, plain(i))
			}
		}
		over := 0
		for _, n := range f.sizes {
			if n > 32 {
				over++
			}
		}
		if over != 1 {
			t.Errorf("calls of %v", f.sizes)
		}
	})
}

func TestAnswersWithoutPartsAreAskedForAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{perCall: time.Millisecond, strange: true}
		b := f.batcher(t)
		for range 2 {
			for i, a := range together(b, usual, 10, plain, nil) {
				mustServe(t, i, a, plain(i))
			}
		}
		if n := len(f.sizes); n != 1+1+9+10 {
			t.Errorf("calls of %v", f.sizes)
		}
	})
}

// TestWhatDiffersDoesNotMix: every call has one kind.
func TestWhatDiffersDoesNotMix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{perCall: time.Millisecond}
		bend := func(i int, c *spec.Call) {
			switch i % 4 {
			case 1:
				c.Adapter = "a"
			case 2:
				c.Version = 2
			case 3:
				c.Deployment = "e"
			}
		}
		for i, a := range together(f.batcher(t), usual, 40, plain, bend) {
			mustServe(t, i, a, plain(i))
		}
		if fmt.Sprint(f.sizes) != "[1 1 1 1 9 9 9 9]" {
			t.Errorf("calls of %v", f.sizes)
		}
	})
	seen := map[string]bool{}
	for _, body := range []string{`{"model":"m","input":"a"}`, `{"model":"n","input":"a"}`, `{"model":"m","input":"a","dimensions":5}`,
		`{"model":"m","input":"a","encoding_format":"base64"}`, `{"model":"m","input":"a","input_type":"query"}`} {
		r, ok := Parse([]byte(body))
		if !ok || seen[r.parameters] {
			t.Errorf("%s: %q", body, r.parameters)
		}
		seen[r.parameters] = true
	}
}

// TestLeaving: who leaves takes nobody along, and the last one ends the call.
func TestLeaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{perCall: time.Second}
		b := f.batcher(t)
		ctx, cancel := context.WithCancel(t.Context())
		var first, stays, waits asked
		var wait sync.WaitGroup
		wait.Go(func() { first = ask(ctx, b, usual, spec.Call{}, request("a")) })
		synctest.Wait()
		wait.Go(func() { stays = ask(t.Context(), b, usual, spec.Call{}, request("b")) })
		wait.Go(func() { waits = ask(ctx, b, usual, spec.Call{}, request("c")) })
		synctest.Wait()
		began := time.Now()
		cancel()
		wait.Wait()
		if !errors.Is(first.err, context.Canceled) || !errors.Is(waits.err, context.Canceled) || f.ended != 1 {
			t.Errorf("%v, %v, %d calls ended", first.err, waits.err, f.ended)
		}
		mustServe(t, 1, stays, "b")
		if took := time.Since(began); took != time.Second || len(f.sizes) != 2 || b.Callers(where.Instance) != 0 {
			t.Errorf("%v, %v, %d callers", took, f.sizes, b.Callers(where.Instance))
		}
		// One of two in the same call.
		short := spec.Call{Deadline: time.Now().Add(1500 * time.Millisecond)}
		wait.Go(func() { first = ask(t.Context(), b, usual, spec.Call{}, request("a")) })
		synctest.Wait()
		wait.Go(func() { stays = ask(t.Context(), b, usual, spec.Call{}, request("b")) })
		wait.Go(func() { waits = ask(t.Context(), b, usual, short, request("c")) })
		wait.Wait()
		mustServe(t, 0, first, "a")
		mustServe(t, 1, stays, "b")
		if !errors.Is(waits.err, context.DeadlineExceeded) || f.ended != 1 {
			t.Errorf("%v, %d calls ended", waits.err, f.ended)
		}
	})
}

// TestSlots: calls wait here for slots, with reservations, and what is granted to nobody
// goes back.
func TestSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{perCall: time.Millisecond, slots: 1, running: 1}
		b := f.batcher(t)
		var out []asked
		var wait sync.WaitGroup
		wait.Go(func() { out = together(b, usual, 20, plain, nil) })
		time.Sleep(5 * time.Millisecond) // none of it is real
		last := f.told()
		if last.Gateway != Gateway || last.Count != 1 || last.Instance != where.Instance {
			t.Errorf("reservation %+v", last)
		}
		f.mu.Lock()
		f.running = 0
		f.mu.Unlock()
		b.Granted("d", spec.Lease{Gateway: Gateway, Instance: where.Instance, ID: 7})
		wait.Wait()
		for i, a := range out {
			mustServe(t, i, a, plain(i))
		}
		if f.calls[0].Lease != 7 || fmt.Sprint(f.sizes) != "[20]" {
			t.Errorf("call %+v, calls of %v", f.calls[0], f.sizes)
		}
		b.Granted("d", spec.Lease{Gateway: Gateway, Instance: where.Instance, ID: 8})
		if last := f.told(); last.Declined != 8 || last.Count != 0 {
			t.Errorf("reservation %+v", last)
		}
	})
}

func TestSlotsWithoutGrants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{slots: 1, running: 1}
		b := f.batcher(t)
		time.AfterFunc(time.Second, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.running = 0
		})
		began := time.Now()
		mustServe(t, 0, together(b, usual, 1, plain, nil)[0], plain(0))
		if took := time.Since(began); took > 2*time.Second {
			t.Error(took)
		}
	})
}

// TestBounds: more callers than there is room for are refused, and what fails is told to all.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{perCall: time.Second}
		l := usual
		l.Callers = 5
		busy := 0
		for _, a := range together(f.batcher(t), l, 8, plain, nil) {
			if asBusy(a.err) != nil {
				busy++
			}
		}
		if busy != 3 {
			t.Errorf("%d were refused", busy)
		}
		f.err = spec.ErrBroken
		for _, a := range together(f.batcher(t), l, 3, plain, nil) {
			if !errors.Is(a.err, spec.ErrBroken) {
				t.Errorf("%+v", a)
			}
		}
	})
}

// TestWindow: where an engine may have several calls, a second one waits for company.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{perCall: time.Second}
		b := f.batcher(t)
		l := usual
		l.Calls, l.Window = 2, 10*time.Millisecond
		began := time.Now()
		for i, a := range together(b, l, 30, plain, nil) {
			mustServe(t, i, a, plain(i))
		}
		if took := time.Since(began); took != 1010*time.Millisecond || fmt.Sprint(f.sizes) != "[1 29]" {
			t.Errorf("%v, calls of %v", took, f.sizes)
		}
	})
}

// TestClose: nobody is left waiting.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{perCall: time.Hour}
		b := f.batcher(t)
		time.AfterFunc(time.Second, b.Close)
		for i, a := range together(b, usual, 10, plain, nil) {
			if a.err == nil {
				t.Errorf("request %d: %+v", i, a)
			}
		}
		if a := together(b, usual, 1, plain, nil)[0]; a.err == nil {
			t.Error("served after the end")
		}
	})
}

// TestSolo: what an engine broke off over, and what is known to be too much, meets nobody.
func TestSolo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{perCall: time.Millisecond}
		l := usual
		l.Context = 100
		bend := func(i int, c *spec.Call) {
			c.Alone = i == 3
			if i == 4 {
				c.PromptTokens = 101
			}
		}
		for i, a := range together(f.batcher(t), l, 12, plain, bend) {
			mustServe(t, i, a, plain(i))
		}
		alone := 0
		for i, c := range f.calls {
			if c.Alone || c.PromptTokens == 101 {
				if f.sizes[i] != 1 {
					t.Errorf("%+v went with %d", c, f.sizes[i])
				}
				alone++
			}
		}
		if alone != 2 {
			t.Errorf("%d went alone: %v", alone, f.sizes)
		}
	})
}

// TestAPlaceOutlivesAPanic: one that was granted, and that a call which failed in the node has not
// taken, goes back.
func TestAPlaceOutlivesAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{perCall: time.Millisecond, slots: 1, running: 1}
		b := f.batcher(t)
		open := b.cfg.Open
		b.cfg.Open = func(ctx context.Context, target spec.Target, call *spec.Call, body []byte) (spec.Stream, error) {
			if call.Lease != 0 {
				panic("before the engine is asked")
			}
			return open(ctx, target, call, body)
		}
		var out []asked
		var wait sync.WaitGroup
		wait.Go(func() { out = together(b, usual, 3, plain, nil) })
		time.Sleep(5 * time.Millisecond) // none of it is real
		b.Granted("d", spec.Lease{Gateway: Gateway, Instance: where.Instance, ID: 7})
		wait.Wait()
		for i, a := range out {
			if spec.CodeOf(a.err) != spec.CodeInternal {
				t.Errorf("request %d: %+v", i, a)
			}
		}
		synctest.Wait()
		if last := f.told(); last.Declined != 7 || last.Count != 0 {
			t.Errorf("reservation %+v", last)
		}
	})
}
