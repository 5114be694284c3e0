package instance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A paced engine reads prompts one after another, so many bytes a second, and then
// writes tokens at its pace; while it reads, nobody gets a token. Its health is
// always well. Once wedged it does nothing more.
type paced struct {
	*scripted
	bytes    float64
	token    time.Duration
	counting bool // tells its steps

	work   chan struct{} // held for each step
	steps  atomic.Uint64
	wedged chan struct{}
	asked  atomic.Int32
}

func newPaced(bytes float64, token time.Duration, counting bool) *paced {
	return &paced{scripted: newScripted(), bytes: bytes, token: token, counting: counting}
}

// step works for so long, unless the engine wedges meanwhile; then it returns with ctx.
func (e *paced) step(ctx context.Context, d time.Duration) bool {
	select {
	case e.work <- struct{}{}:
		defer func() { <-e.work }()
	case <-ctx.Done():
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		e.steps.Add(1)
		return ctx.Err() == nil
	case <-ctx.Done():
	case <-e.wedged:
		<-ctx.Done()
	}
	return false
}

func (e *paced) read(ctx context.Context, size int) bool {
	for ; size > 0; size -= oneStep {
		if !e.step(ctx, time.Duration(float64(min(size, oneStep))/e.bytes*float64(time.Second))) {
			return false
		}
	}
	return true
}

func (e *paced) Do(ctx context.Context, _ string, head engine.Head, body []byte) (*http.Response, error) {
	e.asked.Add(1)
	n := max(mostTokens(body), 1)
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		ok := e.read(ctx, len(body))
		for i := 0; ok && i < n; i++ {
			if ok = e.step(ctx, e.token); ok && head.Stream {
				_, err := io.WriteString(w, "data: t\n\n")
				ok = err == nil
			}
		}
		if ok {
			_, _ = io.WriteString(w, "end")
		}
		_ = w.CloseWithError(ctx.Err())
	}()
	return &http.Response{StatusCode: http.StatusOK, Body: closing{r, cancel}}, nil
}

type closing struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (c closing) Close() error {
	c.cancel()
	return c.PipeReader.Close()
}

func (e *paced) Load(context.Context) (engine.Load, error) {
	l := engine.Load{Known: e.counting}
	if e.counting {
		l.Steps = 1 + e.steps.Load()
	}
	return l, nil
}

// A ward is a watched engine in a bubble of virtual time.
type ward struct {
	t      *testing.T
	engine *paced
	serve  *monitored
	ctx    context.Context
	end    chan error // why the engine is of no use any more
}

// watched runs body with e watched by the default policy, as after its warm-up.
func watched(t *testing.T, e *paced, body func(*ward)) {
	t.Helper()
	watchedAs(t, engine.VLLM, e, body)
}

func watchedAs(t *testing.T, preset string, e *paced, body func(*ward)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		serving := make(chan *monitored, 1)
		w := &ward{t: t, engine: e, ctx: ctx, end: make(chan error, 1)}
		e.wedged, e.done, e.work = make(chan struct{}), make(chan struct{}), make(chan struct{}, 1) // of this bubble
		r := &run{cfg: Config{Load: &wire.LoadModel{Deployment: "d", Engine: preset}, Policy: Policy{}.withDefaults(), Log: slog.New(slog.DiscardHandler)},
			post: func(m any) {
				if r, ok := m.(*ready); ok {
					serving <- r.engine.(*monitored)
				}
			}}
		r.phases.run = r
		go func() { w.end <- r.serve(ctx, e, time.Now()) }()
		w.serve = <-serving
		body(w)
		cancel()
		synctest.Wait()
	})
}

// ask sends a request of size bytes for so many tokens, and reads the answer as it comes.
func (w *ward) ask(size, tokens int, stream bool) (done chan struct{}) {
	done = make(chan struct{})
	body := fmt.Sprintf(`{"stream":%v,"max_tokens":%d,"prompt":"`, stream, tokens)
	body += strings.Repeat("x", max(0, size-len(body)-2)) + `"}`
	go func() {
		defer close(done)
		resp, err := w.serve.Do(w.ctx, "/v1/completions", engine.Head{Stream: stream}, []byte(body))
		if err != nil {
			return
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
	}()
	return done
}

// wedge stops the engine, and returns after how long that was found.
func (w *ward) wedge(limit time.Duration) time.Duration {
	w.t.Helper()
	close(w.engine.wedged)
	began := time.Now()
	select {
	case err := <-w.end:
		if hung := (*hungError)(nil); !errors.As(err, &hung) {
			w.t.Errorf("ended with %v", err)
		}
	case <-time.After(limit):
		w.t.Errorf("the hang was not found within %s", limit)
	}
	return time.Since(began)
}

func (w *ward) mustLive(d time.Duration) {
	w.t.Helper()
	select {
	case err := <-w.end:
		w.t.Fatalf("taken for dead: %v", err)
	case <-time.After(d):
	}
}

// TestHangUnderLoad: with streams at work, with whole answers at work that an engine
// counts its steps of, a hang is found within 2 s, and nothing is before.
func TestHangUnderLoad(t *testing.T) {
	for _, c := range []struct {
		name             string
		counting, stream bool
	}{{"streams", false, true}, {"streams counted", true, true}, {"whole answers counted", true, false}} {
		t.Run(c.name, func(t *testing.T) {
			watched(t, newPaced(5000, 20*time.Millisecond, c.counting), func(w *ward) {
				for range 4 {
					w.ask(2000, 100_000, c.stream)
				}
				w.mustLive(time.Minute)
				if took := w.wedge(2 * time.Second); took < time.Second {
					t.Errorf("found after %s already", took)
				}
			})
		})
	}
}

// TestWholeAnswersOfAnEngineThatTellsNothing: they are given the time that their
// tokens take.
func TestWholeAnswersOfAnEngineThatTellsNothing(t *testing.T) {
	watched(t, newPaced(5000, 20*time.Millisecond, false), func(w *ward) {
		<-w.ask(2000, 100, true) // shows the pace
		done := w.ask(2000, 1000, false)
		w.mustLive(20 * time.Second) // of which nothing came for 20 s
		<-done
		w.ask(2000, 1000, false)
		time.Sleep(5 * time.Second)
		w.wedge(time.Minute)
	})
}

// TestReadingALongPromptIsNoHang: neither for who asked nor for those who wait meanwhile.
func TestReadingALongPromptIsNoHang(t *testing.T) {
	for _, counting := range []bool{false, true} {
		watched(t, newPaced(2000, 20*time.Millisecond, counting), func(w *ward) {
			w.ask(500, 100_000, true)
			time.Sleep(5 * time.Second)
			w.ask(60_000, 10, true)
			w.mustLive(40 * time.Second)
			w.ask(60_000, 10, true)
			time.Sleep(time.Second)
			limit := 60 * time.Second
			if counting {
				limit = 12 * time.Second // a step takes four
			}
			w.wedge(limit)
		})
	}
}

// TestSlowEnginesAreGivenTime: one that needs seconds for a token is slow, not dead.
func TestSlowEnginesAreGivenTime(t *testing.T) {
	watched(t, newPaced(100, 3*time.Second, false), func(w *ward) {
		w.ask(500, 1000, true)
		w.mustLive(10 * time.Minute)
		w.wedge(20 * time.Second)
	})
}

// TestSlowReaderIsNoHang: an answer that nobody reads says nothing of the engine.
func TestSlowReaderIsNoHang(t *testing.T) {
	watched(t, newPaced(5000, 20*time.Millisecond, false), func(w *ward) {
		resp, err := w.serve.Do(w.ctx, "/", engine.Head{Stream: true}, []byte(`{"stream":true,"max_tokens":1000}`))
		if err != nil {
			t.Fatal(err)
		}
		piece := make([]byte, 9)
		for range 5 {
			if _, err := resp.Body.Read(piece); err != nil {
				t.Fatal(err)
			}
			w.mustLive(time.Minute)
		}
		_ = resp.Body.Close()
	})
}

// TestHangWhenIdle: found within 10 s, at a bounded cost.
func TestHangWhenIdle(t *testing.T) {
	watched(t, newPaced(5000, 20*time.Millisecond, false), func(w *ward) {
		before := w.engine.asked.Load()
		w.mustLive(time.Hour)
		if n := w.engine.asked.Load() - before; n < 1000 || n > 1200 {
			t.Errorf("%d canaries in an hour, want one each 3 s", n)
		}
		w.wedge(10 * time.Second)
	})
}

// TestCanariesSpareConversations: an engine with few slots is left alone while
// somebody may go on, and is tried as any other afterwards.
func TestCanariesSpareConversations(t *testing.T) {
	watchedAs(t, engine.Ollama, newPaced(5000, 20*time.Millisecond, false), func(w *ward) {
		<-w.ask(100, 1, true)
		before := w.engine.asked.Load()
		w.mustLive(110 * time.Second)
		if n := w.engine.asked.Load() - before; n != 0 {
			t.Errorf("%d canaries soon after a request", n)
		}
		w.mustLive(30 * time.Second)
		w.wedge(10 * time.Second)
	})
}

// TestDearCanariesAreRare: what a slow engine pays for them is bounded.
func TestDearCanariesAreRare(t *testing.T) {
	watched(t, newPaced(1e6, 2*time.Second, false), func(w *ward) {
		before := w.engine.asked.Load()
		w.mustLive(time.Hour)
		if n := w.engine.asked.Load() - before; n > 180 {
			t.Errorf("%d canaries of 2 s in an hour, want a tenth of it at most", n)
		}
	})
}

// TestCanariesGiveWay: who comes does not wait for one.
func TestCanariesGiveWay(t *testing.T) {
	watched(t, newPaced(1e6, time.Second, false), func(w *ward) {
		before := w.engine.asked.Load()
		for w.engine.asked.Load() == before {
			time.Sleep(time.Millisecond)
		}
		began := time.Now()
		<-w.ask(10, 1, true)
		if took := time.Since(began); took > 1100*time.Millisecond {
			t.Errorf("an answer of a second took %s", took)
		}
		w.mustLive(time.Minute)
	})
}

// TestTimeThatNobodyLookedDoesNotCount: after the node itself was stopped, nothing is hung.
func TestTimeThatNobodyLookedDoesNotCount(t *testing.T) {
	var s stillness
	now := time.Now()
	s.tick(now, 1, true, time.Second, 0)
	s.tick(now.Add(100*time.Millisecond), 1, true, time.Second, 0)
	s.tick(now.Add(time.Hour), 1, true, time.Second, 0)
	if s.still != 1100*time.Millisecond {
		t.Errorf("still for %s", s.still)
	}
	s.tick(now.Add(time.Hour+time.Second), 1, true, time.Second, 400*time.Millisecond)
	s.tick(now.Add(time.Hour+2*time.Second), 1, true, time.Second, time.Minute)
	if s.still != 1950*time.Millisecond {
		t.Errorf("of two seconds, one with .6 s on a processor and one with none, it is still for %s", s.still)
	}
	s.step(7, time.Minute, time.Millisecond)
	if s.still == 0 {
		t.Error("a step of long ago was a sign of life")
	}
	s.step(8, time.Second, time.Millisecond)
	if s.still != 0 {
		t.Error("a step was no sign of life")
	}
}

// TestHealthyEnginesLive: no engine at a steady pace is taken for dead, whatever it
// is asked, and all that wedge are found.
func TestHealthyEnginesLive(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		speed := rapid.Float64Range(500, 50_000).Draw(rt, "bytes per second")
		token := time.Duration(rapid.IntRange(1, 1500).Draw(rt, "ms per token")) * time.Millisecond
		counting := rapid.Bool().Draw(rt, "counting")
		type request struct {
			after  time.Duration
			size   int
			tokens int
			stream bool
		}
		requests := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) request {
			return request{time.Duration(rapid.IntRange(0, 8000).Draw(rt, "after")) * time.Millisecond, rapid.IntRange(60, 30_000).Draw(rt, "size"),
				rapid.IntRange(1, 60).Draw(rt, "tokens"), rapid.Bool().Draw(rt, "stream")}
		}), 1, 6).Draw(rt, "requests")
		var dead error
		var found time.Duration
		watched(t, newPaced(speed, token, counting), func(w *ward) {
			var all []chan struct{}
			for _, r := range requests {
				time.Sleep(r.after)
				all = append(all, w.ask(r.size, r.tokens, r.stream))
			}
			for _, done := range all {
				select {
				case <-done:
				case dead = <-w.end:
					return
				}
			}
			w.ask(100, 10_000, true)
			select {
			case <-time.After(5 * time.Second):
				found = w.wedge(maxExplained)
			case dead = <-w.end:
			}
		})
		if dead != nil {
			rt.Fatalf("taken for dead: %v", dead)
		}
		if bound := 10*time.Second + 16*token + time.Duration(60_000/speed)*time.Second; found > bound {
			rt.Fatalf("found after %s, want within %s", found, bound)
		}
	})
}

func TestBodiesAreUnderstood(t *testing.T) {
	for _, c := range []struct {
		body   string
		number int
	}{
		{`{"stream": true, "max_tokens" : 12}`, 12},
		{`{"prompt":"\"stream\":true,\"max_tokens\":9"}`, 0},
		{`{"max_tokens":99999999999999999999}`, 999999999 / 10},
		{`{"max_tokens":-3,"stream":false}`, 0},
		{`{"upstream":true,"a_max_tokens":7,"max_completion_tokens":5,"max_tokens":3,"stream":true,"max_tokens":8}`, 5},
		{`{"max_completion_tokens":2,"max_tokens":3}`, 3},
		{`stream":true`, 0},
		{``, 0},
	} {
		if n := mostTokens([]byte(c.body)); min(n, 99999999) != c.number {
			t.Errorf("%s: %d", c.body, n)
		}
	}
}

func FuzzBodies(f *testing.F) {
	f.Add([]byte(`{"stream":true,"max_tokens":5}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := mostTokens(b); n < 0 || n > 1<<29 {
			t.Errorf("%d", n)
		}
	})
}

// TestLookLeavesNothing: what is looked at many times a second costs no memory, however many wait.
func TestLookLeavesNothing(t *testing.T) {
	p, policy := new(pulse), Policy{}.withDefaults()
	for range 1000 {
		p.begin(new(question), []byte(`{"stream":true,"prompt":"x"}`), true, false)
	}
	if n := testing.AllocsPerRun(10, func() {
		c, pace := p.look(time.Now())
		if c.waiting != 1000 || policy.hung(policy.Hang, c, pace, false) != nil {
			t.Fatalf("%d wait", c.waiting)
		}
	}); n > 0 {
		t.Errorf("a look allocates %v times", n)
	}
}
