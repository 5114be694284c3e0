package instance

import (
	"context"
	"testing"

	"github.com/lotabots/lotabots/actors/engine"
)

// TestFaultRestartsTheEngine: what the device tells ends a serving engine, and one
// that starts, with the reason told; between two engines it means nothing.
func TestFaultRestartsTheEngine(t *testing.T) {
	starting := make(chan struct{}, 1)
	first := newScripted()
	p := fast()
	p.GiveUp = 5
	next, _, send := launch(t, p, func(n int) (engine.Engine, error) {
		switch n {
		case 1:
			return first, nil
		case 2:
			return &slow{newScripted(), starting}, nil
		}
		return newScripted(), nil
	})
	expectStates(t, next, isLoading, isReady)
	send(&Fault{"Xid 31: memory page fault"})
	if m := expectStates(t, next, isRestarting); m.Reason != "device fault: Xid 31: memory page fault" {
		t.Errorf("reason %q", m.Reason)
	}
	<-starting
	if !first.stopped() {
		t.Error("the engine was left running")
	}
	send(&Fault{"Xid 13"})
	if m := expectStates(t, next, isRestarting); m.Reason != "device fault: Xid 13" {
		t.Errorf("reason %q", m.Reason)
	}
	expectStates(t, next, isReady)
}

// slow starts until it is told to stop.
type slow struct {
	*scripted
	starting chan struct{}
}

func (s *slow) Start(ctx context.Context) error {
	s.starting <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}
