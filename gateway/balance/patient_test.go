package balance

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// TestPatient: for a client that has begun to read its answer, another instance is waited for where those that
// were tried could not be reached; nobody waits where they have answered.
func TestPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(Config{})
		f.tell("a", "north", 4, 0)
		g := f.must(t, ask())
		tried := func(q *Query) { q.Exclude = []spec.InstanceID{g.Target.Instance} }
		lost := func(q *Query) { tried(q); q.Avoid = []spec.NodeID{g.Node}; q.Patient = true }
		g.Failed()

		for name, c := range map[string]struct {
			q    func(*Query)
			wait time.Duration
		}{
			"nobody reads":              {func(q *Query) { lost(q); q.Patient = false }, 0},
			"it has answered":           {func(q *Query) { tried(q); q.Patient = true }, 0},
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
	})
}
