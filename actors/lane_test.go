package actors

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lotabots/lotabots/actors/gpu"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// TestManyPassByTheLane: never more than there are slots for, and the actor knows of all.
func TestManyPassByTheLane(t *testing.T) {
	const slots, each, callers = 3, 40, 6
	e := newStub(t)
	n := newMesh(t).start("a", everything, with(e))
	target := n.loadStub(t, e, "i", slots, 1)
	await(t, "the lane is open", func() bool { return n.lanes.Of("i") != nil })
	var held, served atomic.Int64
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range each {
				s, err := n.Opener().Open(t.Context(), target, call("/whole", false), []byte(`{}`))
				var refused *spec.Rejection
				if errors.As(err, &refused) && refused.Reason == spec.RejectBusy {
					continue
				} else if err != nil {
					t.Error(err)
					return
				}
				if held.Add(1) > slots {
					t.Error("more were let in than there are slots")
				}
				served.Add(1)
				held.Add(-1) // before the place is free
				if _, err := io.Copy(io.Discard, s); err != nil {
					t.Error(err)
				}
				_ = s.Close()
			}
		})
	}
	all.Wait()
	await(t, "the actor knows of all", func() bool {
		return gathered(t, n, "lotabots_actor_tokens_total") == float64(17*served.Load()) && n.load("i").GetRunning() == 0
	})
	if served.Load() < slots {
		t.Errorf("%d were served", served.Load())
	}
	lane := n.lanes.Of("i")
	if _, ok := lane.Admit(target.Device, &gpu.Admit{Lease: 1 << 40, Deployment: call("/whole", false).Deployment}, time.Now()); !ok {
		t.Error("the lane is closed to who would fit")
	}
	ack, err := n.Command(within(t, 30*time.Second), "a", target.Device, &wire.Drain{})
	mustCode(t, ack, err, "")
	_, err = n.Opener().Open(t.Context(), target, call("/whole", false), nil)
	mustReject(t, err, spec.RejectDraining)
}
