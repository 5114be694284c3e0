package instance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/goleak"

	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripted is an engine whose process ends when the test says so. What it stands
// for, engines that run, is tested in package actors.
type scripted struct {
	startErr  error
	done      chan struct{}
	mu        sync.Mutex
	err       error
	unhealthy bool
	stops     int
	stopping  chan struct{} // not nil: Stop waits for it
}

func newScripted() *scripted { return &scripted{done: make(chan struct{})} }

func (e *scripted) Start(ctx context.Context) error {
	if e.startErr != nil {
		return e.startErr
	}
	return ctx.Err()
}
func (e *scripted) Done() <-chan struct{} { return e.done }
func (e *scripted) Err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}
func (e *scripted) Do(context.Context, string, engine.Head, []byte) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("{}"))}, nil
}
func (e *scripted) Load(context.Context) (engine.Load, error) {
	return engine.Load{Known: true, Running: 1}, nil
}
func (e *scripted) Healthy(context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.unhealthy {
		return errors.New("no answer")
	}
	return nil
}
func (e *scripted) Slots() uint32   { return 2 }
func (e *scripted) Context() uint32 { return 100 }
func (e *scripted) Stop(context.Context) error {
	if e.stopping != nil {
		<-e.stopping
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stops++; e.stops == 1 && e.err == nil {
		close(e.done)
	}
	return nil
}

func (e *scripted) crash(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = err
	close(e.done)
}

func (e *scripted) stopped() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stops > 0
}

// A parent spawns one instance and keeps what it is told.
type parent struct {
	cfg    Config
	events chan any
	told   chan *Adapted // nil: nobody listens
	child  *actor.PID
}

func (p *parent) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *actor.Started:
		p.child = c.Spawn(actor.PropsFromProducer(func() actor.Actor { return New(p.cfg) }))
	case *Changed, *Measured:
		p.events <- m
	case *Adapted:
		if p.told != nil {
			p.told <- m
		}
	case *Fault, *Adapt:
		c.Send(p.child, m)
	}
}

// newSystem is quiet, and leaves no goroutine behind for long.
func newSystem() *actor.ActorSystem {
	return actor.NewActorSystem(actor.WithDeadLetterThrottleInterval(10*time.Millisecond),
		actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }))
}

func fast() Policy {
	return Policy{First: time.Millisecond, Last: 4 * time.Millisecond, Probe: 5 * time.Millisecond, Stable: time.Hour, Unhealthy: 2}
}

// start runs an instance whose engines open makes; stop ends it and waits.
func start(t *testing.T, p Policy, open func(n int) (engine.Engine, error)) (next func() *Changed, stop func()) {
	t.Helper()
	next, stop, _ = launch(t, p, open)
	return next, stop
}

// launch is start; send brings the instance a message of its parent.
func launch(t *testing.T, p Policy, open func(n int) (engine.Engine, error)) (next func() *Changed, stop func(), send func(any)) {
	t.Helper()
	return launchWith(t, p, open, func(*Config) {}, nil)
}

// launchWith is launch with another configuration; told gets what becomes of adapters.
func launchWith(t *testing.T, p Policy, open func(n int) (engine.Engine, error), change func(*Config), told chan *Adapted) (next func() *Changed, stop func(), send func(any)) {
	t.Helper()
	opened := 0
	events := make(chan any, 1000)
	cfg := Config{
		Load: &wire.LoadModel{Instance: "i", Deployment: "d", Model: "m", Engine: "embedded"}, Run: 7, Policy: p,
		Path: func(context.Context, *wire.LoadModel, func(float64)) (string, error) { return "/model.gguf", nil },
		Open: func(s engine.Spec) (engine.Engine, error) {
			if s.Model != "/model.gguf" || s.Instance != "i" || s.Preset != "embedded" {
				return nil, fmt.Errorf("asked for %+v", s)
			}
			opened++
			return open(opened)
		},
	}
	change(&cfg)
	s := newSystem()
	pid := s.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return &parent{cfg: cfg, events: events, told: told} }))
	next = func() *Changed {
		t.Helper()
		limit := time.After(30 * time.Second)
		for {
			select {
			case e := <-events:
				if m, ok := e.(*Changed); ok {
					if m.Instance != "i" || m.Run != 7 {
						t.Fatalf("told of %s, run %d", m.Instance, m.Run)
					}
					return m
				}
			case <-limit:
				t.Fatal("told nothing for 30 s")
			}
		}
	}
	var once sync.Once
	stop = func() { once.Do(func() { _ = s.Root.StopFuture(pid).Wait() }) }
	t.Cleanup(stop)
	return next, stop, func(m any) { s.Root.Send(pid, m) }
}

func expectStates(t *testing.T, next func() *Changed, want ...wire.InstanceState) *Changed {
	t.Helper()
	var last *Changed
	for _, s := range want {
		if last = next(); last.State != s {
			t.Fatalf("told %s (%s), want %s", last.State, last.Reason, s)
		}
		if (last.Engine != nil) != (s == isReady) {
			t.Fatalf("%s came with engine %v", s, last.Engine)
		}
	}
	return last
}

const (
	isLoading    = wire.InstanceState_INSTANCE_STATE_LOADING
	isReady      = wire.InstanceState_INSTANCE_STATE_READY
	isRestarting = wire.InstanceState_INSTANCE_STATE_RESTARTING
	isFailed     = wire.InstanceState_INSTANCE_STATE_FAILED
)

func TestRestartsAndGivesUp(t *testing.T) {
	engines := make(chan *scripted, 10)
	next, _ := start(t, fast(), func(int) (engine.Engine, error) {
		e := newScripted()
		engines <- e
		return e, nil
	})
	expectStates(t, next, isLoading, isReady)
	(<-engines).crash(errors.New("signal: killed"))
	expectStates(t, next, isRestarting, isReady)
	(<-engines).crash(errors.New("signal: killed"))
	expectStates(t, next, isRestarting, isReady)
	(<-engines).crash(errors.New("signal: aborted"))
	if last := expectStates(t, next, isRestarting, isFailed); last.Reason != "signal: aborted" {
		t.Errorf("reason %q", last.Reason)
	}
	select {
	case <-engines:
		t.Error("started again after it gave up")
	case <-time.After(50 * time.Millisecond):
	}
}

// TestServingForLongForgetsCrashes: crashes far apart are no series.
func TestServingForLongForgetsCrashes(t *testing.T) {
	engines := make(chan *scripted, 10)
	p := fast()
	p.Stable = 20 * time.Millisecond
	next, _ := start(t, p, func(int) (engine.Engine, error) {
		e := newScripted()
		engines <- e
		return e, nil
	})
	expectStates(t, next, isLoading, isReady)
	for range 5 {
		e := <-engines
		time.Sleep(30 * time.Millisecond) // it serves
		e.crash(errors.New("crash"))
		expectStates(t, next, isRestarting, isReady)
	}
}

func TestHopelessStartsAreNotRepeated(t *testing.T) {
	opened := 0
	next, _ := start(t, fast(), func(n int) (engine.Engine, error) {
		opened = n
		return nil, spec.Errorf(spec.CodeEngineUnavailable, "no libraries")
	})
	last := expectStates(t, next, isLoading, isFailed)
	if opened != 1 || !strings.Contains(last.Reason, "no libraries") {
		t.Errorf("opened %d times, reason %q", opened, last.Reason)
	}
}

func TestFailedStartsAreRepeated(t *testing.T) {
	next, _ := start(t, fast(), func(n int) (engine.Engine, error) {
		e := newScripted()
		if n < 3 {
			e.startErr = spec.Errorf(spec.CodeEngineStart, "port taken")
		}
		return e, nil
	})
	expectStates(t, next, isLoading, isRestarting, isRestarting, isReady)
}

func TestUnhealthyEngineIsReplaced(t *testing.T) {
	engines := make(chan *scripted, 10)
	next, _ := start(t, fast(), func(int) (engine.Engine, error) {
		e := newScripted()
		engines <- e
		return e, nil
	})
	expectStates(t, next, isLoading, isReady)
	e := <-engines
	e.mu.Lock()
	e.unhealthy = true
	e.mu.Unlock()
	expectStates(t, next, isRestarting, isReady)
	if !e.stopped() {
		t.Error("the wedged engine was left running")
	}
}

// TestFailureIsToldBeforeTheEngineIsGone: whom nobody is to be sent to any more is told of at once; the next engine
// waits for the end of this one.
func TestFailureIsToldBeforeTheEngineIsGone(t *testing.T) {
	first := newScripted()
	first.stopping = make(chan struct{})
	opened := make(chan int, 10)
	next, _, send := launch(t, fast(), func(n int) (engine.Engine, error) {
		opened <- n
		if n == 1 {
			return first, nil
		}
		return newScripted(), nil
	})
	expectStates(t, next, isLoading, isReady)
	<-opened
	send(&Fault{"Xid 31"})
	if m := expectStates(t, next, isRestarting); m.Reason != "device fault: Xid 31" {
		t.Errorf("reason %q", m.Reason)
	}
	select {
	case <-opened:
		t.Error("two engines at a time")
	case <-time.After(50 * time.Millisecond):
	}
	close(first.stopping)
	expectStates(t, next, isReady)
}

func TestStopEndsTheEngineFirst(t *testing.T) {
	e := newScripted()
	next, stop := start(t, fast(), func(int) (engine.Engine, error) { return e, nil })
	expectStates(t, next, isLoading, isReady)
	stop()
	if !e.stopped() {
		t.Error("the actor ended before its engine")
	}
}

// TestStopWhileFetching: a model that is on its way holds nobody up.
func TestStopWhileFetching(t *testing.T) {
	fetching := make(chan struct{})
	cfg := Config{Load: &wire.LoadModel{Instance: "i", Model: "m"}, Path: func(ctx context.Context, _ *wire.LoadModel, _ func(float64)) (string, error) {
		close(fetching)
		<-ctx.Done()
		return "", ctx.Err()
	}}
	s := newSystem()
	pid := s.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return &parent{cfg: cfg, events: make(chan any, 100)} }))
	<-fetching
	if err := s.Root.StopFuture(pid).Wait(); err != nil {
		t.Error(err)
	}
}

func TestPanicWhileOpeningIsACrash(t *testing.T) {
	next, _ := start(t, fast(), func(int) (engine.Engine, error) { panic("broken preset") })
	expectStates(t, next, isLoading, isRestarting, isRestarting)
	if last := expectStates(t, next, isFailed); !strings.Contains(last.Reason, "broken preset") {
		t.Errorf("reason %q", last.Reason)
	}
}

func TestWaitsGrow(t *testing.T) {
	p := Policy{GiveUp: 100}.withDefaults()
	for crashes, want := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second} {
		if v := p.judge(errors.New("x"), 0, crashes); v.wait != want || v.giveUp || v.crashes != crashes+1 {
			t.Errorf("after %d crashes: %+v, want to wait %s", crashes, v, want)
		}
	}
	if v := p.judge(errors.New("x"), 0, 50); v.wait != p.Last {
		t.Errorf("after 50 crashes: %+v", v)
	}
	if v := p.judge(errors.New("x"), p.Stable, 50); v.crashes != 1 {
		t.Errorf("after serving long: %+v", v)
	}
}

func TestWaitsDiffer(t *testing.T) {
	for random, want := range map[float64]time.Duration{0: 800 * time.Millisecond, 0.5: time.Second, 1: 1200 * time.Millisecond} {
		if got := jittered(time.Second, random); got.Round(time.Millisecond) != want {
			t.Errorf("%v makes %s of a second, want %s", random, got, want)
		}
	}
}

func TestReasonIsOneShortLine(t *testing.T) {
	long := spec.Errorf(spec.CodeEngineStart, "%s", "first words, "+strings.Repeat("é line\n", 100))
	for _, err := range []error{errors.New("short"), errors.New("bad \xff byte"), long, fmt.Errorf("bringing the file: %w", long)} {
		r := reason(err)
		if len(r) > maxReason || !utf8.ValidString(r) || strings.ContainsAny(r, "\n\t") {
			t.Errorf("reason %q has %d bytes", r, len(r))
		}
	}
	if r := reason(long); !strings.Contains(r, ": first words, ") || !strings.HasSuffix(r, "...") {
		t.Errorf("what has failed is missing: %q", r)
	}
}
