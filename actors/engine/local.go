package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A driver knows one kind of program. A local engine calls its methods one after another while it
// starts; load and up may then be called from any goroutine.
type driver interface {
	// launch says what to run in the engine's room, and how to reach it.
	launch(r *room) (command, *web, error)

	// up asks whether the program answers, and has its model where it loads one by itself.
	up(ctx context.Context, w *web) error

	// settle does what is left to do once it answers, and tells what it serves.
	settle(ctx context.Context, w *web, r *room) (facts, error)

	// load asks how busy it is.
	load(ctx context.Context, w *web) (Load, error)

	// body is a client's request as the program wants it.
	body(body []byte) ([]byte, error)
}

// facts are what an engine serves; 0: not known.
type facts struct {
	slots, context uint32
	able           spec.Abilities // beyond what its preset tells, or against that
}

// A local is an engine that runs as a process of this node.
type local struct {
	presets *Presets
	spec    Spec
	driver  driver
	found   *found // not nil: an engine that runs already
	done    chan struct{}
	tenants Tenants // of a program that does not keep them apart

	mu struct {
		sync.Mutex
		stopped  bool
		starting chan struct{}      // nil: not begun; closed when Start is over
		giveUp   context.CancelFunc // ends a Start that is under way
		process  *process
		web      *web
		facts    facts
		kept     kept // as it is noted in the shim, once it serves
	}
}

// LastWords are the end of what the engine has printed; empty: it has not run.
func (l *local) LastWords() string {
	l.mu.Lock()
	p := l.mu.process
	l.mu.Unlock()
	if p == nil {
		return ""
	}
	return p.said()
}

// Done implements Engine.
func (l *local) Done() <-chan struct{} { return l.done }

// Err implements Engine.
func (l *local) Err() error {
	select {
	case <-l.done:
	default:
		return nil
	}
	l.mu.Lock()
	p := l.mu.process
	l.mu.Unlock()
	if p == nil {
		return nil
	}
	return p.err()
}

// Slots implements Engine.
func (l *local) Slots() uint32 { return l.facts().slots }

// Context implements Engine.
func (l *local) Context() uint32 { return l.facts().context }

func (l *local) facts() facts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.facts
}

// ErrEnded says that a request did not reach its engine, since that has ended.
var ErrEnded = errors.New("the engine has ended")

var (
	errStopped = errors.New("it was stopped")
	errTwice   = errors.New("an engine starts only once")
)

// Start implements Engine.
func (l *local) Start(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.mu.Lock()
	twice, stopped := l.mu.starting != nil, l.mu.stopped
	if !twice && !stopped {
		l.mu.starting, l.mu.giveUp = make(chan struct{}), cancel
		defer close(l.mu.starting)
	}
	l.mu.Unlock()
	switch {
	case twice:
		return l.failed(errTwice, nil)
	case stopped:
		return l.failed(errStopped, nil)
	}
	err := l.run(ctx)
	if err == nil {
		return nil
	}
	l.mu.Lock()
	p, asked := l.mu.process, l.mu.stopped
	l.mu.Unlock()
	if p == nil {
		close(l.done)
		return l.failed(ifAsked(asked, err), nil)
	}
	if ended := l.Err(); ended != nil {
		err = ended
	}
	if asked && l.presets.leaving.Load() {
		p.release() // the next process of the node goes on with its start
		return l.failed(errStopped, nil)
	}
	err = errors.Join(err, p.stop(ctx, 0)) // what could not start has nothing to finish
	return l.failed(ifAsked(asked, err), p)
}

func ifAsked(asked bool, err error) error {
	if asked {
		return errStopped
	}
	return err
}

// run starts the process and returns once it serves.
func (l *local) run(ctx context.Context) error {
	if l.found != nil {
		return l.attach(ctx, l.found)
	}
	r, err := l.presets.take(l.spec.Instance)
	if err != nil {
		return err
	}
	c, w, err := l.driver.launch(r)
	if err != nil {
		r.leave()
		return err
	}
	p, err := l.presets.startProcess(ctx, c, l.spec, r, keep(l.spec, w).encode(), func() {
		w.close()
		r.close()
		close(l.done)
	})
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.mu.process, l.mu.web = p, w
	l.mu.Unlock()
	l.presets.config.Log.Info("engine process started", "instance", l.spec.Instance, "preset", l.spec.Preset, "pid", p.pid, "log", r.logPath)
	return l.bringUp(ctx, p, w, r, keep(l.spec, w))
}

// Between two looks whether a process is up.
const (
	firstLook = 10 * time.Millisecond
	lastLook  = 250 * time.Millisecond
	lookTime  = 5 * time.Second // that one look may take
)

// await returns once the process answers.
func (l *local) await(ctx context.Context, p *process, w *web) error {
	if l.spec.Launched != nil {
		l.spec.Launched()
	}
	for wait := firstLook; ; wait = min(2*wait, lastLook) {
		look, cancel := context.WithTimeout(ctx, lookTime)
		err := l.driver.up(look, w)
		if err != nil {
			l.tellProgress(look, p, w)
		}
		cancel()
		// A port may have gone to somebody else in between: then ours has ended, or is about to.
		select {
		case <-p.done:
			return fmt.Errorf("it ended while it started")
		case <-ctx.Done():
			return fmt.Errorf("it was not ready in time: %w", errors.Join(ctx.Err(), err))
		case <-time.After(wait):
		}
		if err == nil {
			return nil
		}
	}
}

// failed is Start's answer. p may be nil.
func (l *local) failed(err error, p *process) error {
	e := &spec.Error{Code: spec.CodeEngineStart, Err: err}
	if known := (*spec.Error)(nil); errors.As(err, &known) && known.Code != spec.CodeUpstream {
		e.Code, e.Hint, e.Param = known.Code, known.Hint, known.Param
	}
	e.Message = fmt.Sprintf("the engine %s did not start: %v", l.spec.Preset, err)
	if p != nil {
		explain(e, p.said())
		if last := p.link.Tail(); last != "" {
			e.Message += "; its last lines: " + last
		}
	}
	l.explainUser(e)
	return e
}

// Do implements Engine.
func (l *local) Do(ctx context.Context, path string, head Head, body []byte) (*http.Response, error) {
	w, err := l.running()
	if err != nil {
		return nil, err
	}
	if l.spec.Options[sharePrefixes] == "on" {
		head.CacheSalt = ""
	}
	name := ""
	if d, ok := l.driver.(knownAs); ok {
		name = d.knownAs()
	}
	if d, ok := l.driver.(counts); ok && path == TokenizePath {
		return counted(d.tokens(ctx, w, body))
	}
	if head.isJSON() && !kserves(path) {
		body, err = l.json(path, &head, body)
	} else {
		path, body, err = addressed(path, &head, body, name)
	}
	if err != nil {
		return nil, err
	}
	resp, err := w.post(ctx, path, &head, body)
	if _, ok := l.driver.(repeats); ok && err == nil && path == "/v1/chat/completions" {
		err = unrepeated(resp, begun(body))
	}
	return resp, err
}

// json is a body of one object as the program wants it.
func (l *local) json(path string, head *Head, body []byte) ([]byte, error) {
	body, err := l.driver.body(body)
	if err != nil {
		return nil, err
	}
	if body, err = l.salted(path, head, body); err != nil {
		return nil, err
	}
	return l.adapted(path, head, body)
}

// Load implements Engine.
func (l *local) Load(ctx context.Context) (Load, error) {
	w, err := l.running()
	if err != nil {
		return Load{}, err
	}
	load, err := l.driver.load(ctx, w)
	load.Resident = resident(l.leader())
	return load, err
}

// Healthy implements Engine.
func (l *local) Healthy(ctx context.Context) error {
	w, err := l.running()
	if err != nil {
		return err
	}
	return l.driver.up(ctx, w)
}

func (l *local) running() (*web, error) {
	l.mu.Lock()
	w, p := l.mu.web, l.mu.process
	l.mu.Unlock()
	if w == nil {
		return nil, spec.Errorf(spec.CodeNotReady, "the engine has not started")
	}
	select {
	case <-p.done:
		return nil, &spec.Error{Code: spec.CodeUpstream, Message: "the engine does not run any more", Err: errors.Join(ErrEnded, p.err())}
	default:
		return w, nil
	}
}

// Stop implements Engine.
func (l *local) Stop(ctx context.Context) error {
	l.mu.Lock()
	first := !l.mu.stopped
	l.mu.stopped = true
	starting, giveUp := l.mu.starting, l.mu.giveUp
	l.mu.Unlock()
	if starting == nil {
		if first {
			l.neverStarted()
		}
		return nil
	}
	giveUp() // a Start under way ends soon, and kills what it has started
	<-starting
	l.mu.Lock()
	p := l.mu.process
	l.mu.Unlock()
	if p == nil {
		return nil
	}
	if l.presets.leaving.Load() {
		l.bequeath(ctx, p)
		p.release()
		return nil
	}
	return p.stop(ctx, l.presets.config.Grace)
}

// neverStarted is the end of an engine that was opened, and no more.
func (l *local) neverStarted() {
	switch {
	case l.found == nil:
	case l.presets.leaving.Load():
		l.found.release()
	default:
		l.found.end(l.presets, "it was stopped before it was taken over")
	}
	close(l.done)
}
