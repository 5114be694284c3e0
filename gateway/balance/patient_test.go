package balance

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// TestPatient: for a client that has begun to read its answer, another instance is waited for where those that
// were tried could not be reached; nobody waits where they have answered.
func TestPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(Config{})
		f.tell("a", "north", 4, 0)
		g := f.must(t, ask())
		tried := func(q *Query) { q.Exclude = []spec.InstanceID{g.Target.Instance} }
		lost := func(q *Query) { tried(q); q.Avoid = []spec.NodeID{g.Node}; q.Broke = time.Now() }
		g.Failed()

		for name, c := range map[string]struct {
			q    func(*Query)
			wait time.Duration
		}{
			"nobody reads":              {func(q *Query) { lost(q); q.Broke = time.Time{} }, 0},
			"it has answered":           {func(q *Query) { tried(q); q.Broke = time.Now() }, 0},
			"nobody comes in its place": {lost, patience * f.cfg.ReadyTimeout},
		} {
			f.tell("a", "north", 4, 0)
			began := time.Now()
			if _, err := f.Acquire(t.Context(), ask(c.q)); err == nil || time.Since(began) != c.wait {
				t.Errorf("%s: waited %s, %v", name, time.Since(began), err)
			}
		}

		f.tell("a", "north", 4, 0)
		go func() {
			time.Sleep(2 * f.cfg.ReadyTimeout)
			f.tell("b", "north", 4, 0)
		}()
		if g := f.must(t, ask(lost)); g.Node != "b" {
			t.Errorf("%+v", g.Target)
		} else {
			g.Release()
		}

		f = newField(Config{}) // its node comes back, with its engine
		f.tell("a", "north", 4, 0)
		f.must(t, ask()).Failed()
		go func() {
			time.Sleep(f.cfg.ReadyTimeout)
			f.Observe(&wire.LoadDigest{Node: "a", Boot: 2, Devices: []*wire.DeviceLoad{{Device: "cpu/a", Seq: 1,
				Instances: []*wire.InstanceLoad{{Instance: string(g.Target.Instance), Deployment: "m", Version: 1, State: ready, Slots: 4}}}}}, f.cfg.Now())
		}()
		if g := f.must(t, ask(lost)); g.Node != "a" {
			t.Errorf("%+v", g.Target)
		} else {
			g.Release()
		}
	})
}
