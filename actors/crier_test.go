package actors

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A teller is an engine that tells what it holds.
type teller struct {
	engine.Engine
	mute  bool
	ended chan struct{}
	mu    sync.Mutex
	held  engine.Held
	asked int
}

func (e *teller) Done() <-chan struct{} { return e.ended }
func (e *teller) TellsHeld() bool       { return !e.mute }

func (e *teller) Held(context.Context, string, uint64) (engine.Held, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked++
	h := e.held
	e.held = engine.Held{Epoch: h.Epoch, Seq: h.Seq}
	return h, nil
}

func (e *teller) tells(reset bool, names ...int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	h := engine.Held{Epoch: "e", Seq: e.held.Seq + 1, Reset: reset}
	for _, n := range names {
		h.Added = append(h.Added, engine.HeldMark{Name: fmt.Sprintf("%016x", n), Tokens: 10 * n})
	}
	e.held = h
}

// ears collect what is told.
type ears struct {
	mu  sync.Mutex
	all []*wire.LoadDigest
}

func (e *ears) hear(d *wire.LoadDigest) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, d)
}

// names are those told since the last call, and how often.
func (e *ears) names(t *testing.T) map[uint64]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := map[uint64]int{}
	for _, d := range e.all {
		if size := proto.Size(d); size > maxDatagram-noteSize || d.GetBoot() != 7 || len(d.GetDevices()) != 0 {
			t.Errorf("a digest of %d bytes: %v", size, d)
		}
		for _, n := range d.GetPrefixes() {
			for _, name := range n.GetAdded() {
				out[name]++
			}
		}
	}
	e.all = nil
	return out
}

func TestCrierTellsWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard ears
		w := newCrier(&Config{Node: "n", Boot: 7, Log: slog.New(slog.DiscardHandler)}, heard.hear)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { w.run(ctx); close(ended) }()
		e := &teller{ended: make(chan struct{})}
		end := w.begin("i", e)
		time.Sleep(5 * time.Second)
		heard.names(t)
		e.tells(true, 1, 2, 3) // while the request runs
		time.Sleep(time.Second)
		if got := heard.names(t); len(got) != 3 || got[2] != 2 {
			t.Errorf("told %v", got)
		}
		end()
		e.tells(false, 4)
		time.Sleep(time.Second)
		if got := heard.names(t); len(got) != 1 || got[4] != 2 {
			t.Errorf("told %v", got)
		}
		time.Sleep(5 * time.Second)
		e.mu.Lock()
		asked := e.asked
		e.mu.Unlock()
		time.Sleep(2 * time.Minute)
		if got := heard.names(t); len(got) != 4 || got[1] < 2 || got[1] > 4 {
			t.Errorf("an idle engine's are told %v times in two minutes", got)
		}
		e.mu.Lock()
		if e.asked != asked {
			t.Errorf("an idle engine was asked %d times", e.asked-asked)
		}
		e.mu.Unlock()
		close(e.ended)
		time.Sleep(time.Minute)
		heard.names(t)
		time.Sleep(2 * time.Minute)
		if got := heard.names(t); len(got) != 0 {
			t.Errorf("one that has ended: %v", got)
		}
		cancel()
		<-ended
	})
}

// A full engine's are told in datagrams that fit, a few at a time.
func TestCrierIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard ears
		w := newCrier(&Config{Node: "n", Boot: 7, Log: slog.New(slog.DiscardHandler)}, heard.hear)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { w.run(ctx); close(ended) }()
		e := &teller{ended: make(chan struct{})}
		defer w.begin(spec.InstanceID("instance-of-a-long-name-0123456789"), e)()
		names := make([]int, 5000)
		for i := range names {
			names[i] = 0x7fffffff0000 + i
		}
		e.tells(true, names...)
		time.Sleep(time.Second)
		heard.mu.Lock()
		if n := len(heard.all); n > 3*(maxNews+1) {
			t.Errorf("%d datagrams in a second", n)
		}
		heard.mu.Unlock()
		time.Sleep(20 * time.Second)
		if got := heard.names(t); len(got) != 1024 || got[uint64(names[4999])] < 2 {
			t.Errorf("told %d names", len(got))
		}
		cancel()
		<-ended
	})
}

// An engine that cannot tell is not asked.
func TestCrierLeavesTheMute(t *testing.T) {
	w := newCrier(&Config{Node: "n"}, func(*wire.LoadDigest) {})
	w.begin("i", &teller{mute: true})()
	if len(w.mu.used) != 0 {
		t.Error("it is to be asked")
	}
}
