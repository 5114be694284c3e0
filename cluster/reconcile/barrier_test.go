package reconcile

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lotabots/lotabots/cluster/placement"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// TestWaitsForTheNewestState: a loop that does not know all placements yet would
// unload what runs.
func TestWaitsForTheNewestState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "n1")
		w.deploy("chat", 1, 1)
		known := false
		c := w.config()
		c.Barrier = func(context.Context) error {
			return locked(w, func() error {
				if known {
					return nil
				}
				return spec.Errorf(spec.CodeNoLeader, "not yet")
			})
		}
		_, stop := w.run(c)
		time.Sleep(10 * time.Second)
		if w.looks != 0 || len(w.writes()) != 0 {
			t.Fatalf("%d looks before the state was the newest", w.looks)
		}
		w.change(func() { known = true })
		time.Sleep(5 * time.Second)
		if w.ready("chat", 1) != 1 {
			t.Error("it did not go on")
		}
		stop()

		w.change(func() { known = false })
		looks := w.looks
		_, stop = w.run(c)
		time.Sleep(3 * time.Second)
		stop() // while it waits
		if w.looks != looks {
			t.Error("it looked though the state was not the newest")
		}
	})
}

// TestUnsureWriteIsNotRepeated: a write whose outcome is unknown may be in the
// state, so the loop waits to see it before it plans again.
func TestUnsureWriteIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "n1", "n2")
		w.deploy("chat", 1, 2)
		var late *wire.Command // agreed, and applied when the barrier is passed
		w.propose = func(c *wire.Command) error {
			if w.index > 0 || late != nil {
				return nil
			}
			late = c
			return spec.Errorf(spec.CodeOutcomeUnknown, "the leader was lost")
		}
		barriers := 0
		c := w.config()
		c.Barrier = func(context.Context) error {
			w.change(func() {
				barriers++
				if late != nil && w.index == 0 {
					w.applyLocked(late)
				}
			})
			return nil
		}
		w.run(c)
		time.Sleep(20 * time.Second)
		if n := len(w.writes()); n != 2 || barriers != 2 {
			t.Errorf("%d writes and %d barriers, want two of each", n, barriers)
		}
		if _, placements := w.held(); placements != 2 || w.ready("chat", 1) != 2 {
			t.Errorf("%d placements", placements)
		}
	})
}

// TestRefusedWriteIsPlannedAgain: the state's own refusal is no reason to wait.
func TestRefusedWriteIsPlannedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "n1")
		w.deploy("chat", 1, 1)
		c := w.config()
		c.Propose = func(ctx context.Context, cmd *wire.Command) (*wire.Result, error) {
			if len(w.writes()) == 0 {
				w.change(func() { w.proposed = append(w.proposed, cmd) })
				return &wire.Result{Code: string(spec.CodeConflict), Message: "not now"}, nil
			}
			return w.Propose(ctx, cmd)
		}
		w.run(c)
		time.Sleep(5 * time.Second)
		if w.ready("chat", 1) != 1 {
			t.Error("not placed after one refusal")
		}
	})
}

func TestDoubled(t *testing.T) {
	for n, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second} {
		if got := doubled(time.Second, 5*time.Second, n); got != want {
			t.Errorf("doubled %d times: %s, want %s", n, got, want)
		}
	}
}

// TestMemory: a failure counts once for each time it happens, and graces begin
// when trouble does.
func TestMemory(t *testing.T) {
	m := newMemory()
	now := time.Unix(1000, 0)
	wanted := placement.Wanted{
		Deployments: []*wire.Deployment{{Name: "chat", Version: 1}},
		Nodes:       []*wire.Node{{Id: "n1", Roles: []string{"worker"}, State: wire.NodeState_NODE_STATE_ACTIVE}},
		Placements:  []*wire.Placement{{Instance: "i", Deployment: "chat", Version: 1, Node: "n1", Device: "gpu/n1", Epoch: 5}},
	}
	look := func(state wire.InstanceState, alive bool) placement.Observed {
		o := placement.Observed{Now: now, Alive: map[spec.NodeID]bool{"n1": alive}, Devices: []placement.Device{{Node: "n1", Load: &wire.DeviceLoad{
			Device: "gpu/n1", Health: "ok", Instances: []*wire.InstanceLoad{{Instance: "i", Deployment: "chat", Version: 1, Epoch: 5, State: state}}}}}}
		m.recall(wanted, &o, nil)
		return o
	}
	key := placement.FailureKey{Deployment: "chat", Version: 1, Device: "gpu/n1"}
	for i, want := range []int{1, 1, 1} {
		if got := look(wire.InstanceState_INSTANCE_STATE_FAILED, true).Failures[key].Count; got != want {
			t.Errorf("look %d: %d failures, want %d", i, got, want)
		}
	}
	look(wire.InstanceState_INSTANCE_STATE_READY, true)
	if f := look(wire.InstanceState_INSTANCE_STATE_FAILED, true).Failures[key]; f.Count != 1 || f.Until.Sub(now) != firstRetry {
		t.Errorf("another failure of the same trouble: %+v", f)
	}
	now = now.Add(firstRetry)
	look(wire.InstanceState_INSTANCE_STATE_READY, true)
	if f := look(wire.InstanceState_INSTANCE_STATE_FAILED, true).Failures[key]; f.Count != 2 || f.Until.Sub(now) != 2*firstRetry {
		t.Errorf("it failed again: %+v", f)
	}
	now = now.Add(2*firstRetry + proven)
	if o := look(wire.InstanceState_INSTANCE_STATE_READY, true); o.Failures[key].Count != 2 {
		t.Errorf("forgotten before it has served: %v", o.Failures)
	}
	now = now.Add(time.Second)
	if o := look(wire.InstanceState_INSTANCE_STATE_READY, true); len(o.Failures) != 0 {
		t.Errorf("failures of a version that serves again: %v", o.Failures)
	}
	look(wire.InstanceState_INSTANCE_STATE_READY, false)
	began := now
	now = now.Add(time.Minute)
	if o := look(wire.InstanceState_INSTANCE_STATE_READY, false); !o.Down["gpu/n1"].Equal(began) {
		t.Errorf("down since %s, want %s", o.Down["gpu/n1"], began)
	}
	if o := look(wire.InstanceState_INSTANCE_STATE_READY, true); len(o.Down) != 0 {
		t.Errorf("down though it is back: %v", o.Down)
	}
	wanted.Deployments[0].Version = 2
	if o := look(wire.InstanceState_INSTANCE_STATE_READY, true); len(o.Failures) != 0 {
		t.Errorf("failures of a version that is no more: %v", o.Failures)
	}
}

func TestPaceForgetsWhatIsGone(t *testing.T) {
	p, now := newPace(), time.Unix(1000, 0)
	key := paceKey{"i", placement.Load}
	if !p.begin(key, now) || p.begin(key, now) {
		t.Fatal("not one at a time")
	}
	p.forget(placement.Wanted{}, placement.Observed{})
	if p.begin(key, now) {
		t.Error("forgotten while it is under way")
	}
	p.end(key, now, errors.New("unreachable"), quiet)
	if p.begin(key, now.Add(firstBackoff-1)) || !p.begin(key, now.Add(firstBackoff)) {
		t.Error("the rest after a failure is wrong")
	}
	p.end(key, now, nil, quiet)
	if p.begin(key, now.Add(quiet-1)) {
		t.Error("no rest after success")
	}
	p.forget(placement.Wanted{}, placement.Observed{})
	if !p.begin(key, now) {
		t.Error("not forgotten")
	}
}
