package balance

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// TestDiedInstanceServesAgain: who failed a request is no choice until its engine has started anew.
func TestDiedInstanceServesAgain(t *testing.T) {
	state := func(s wire.InstanceState) func(*wire.DeviceLoad) {
		return func(d *wire.DeviceLoad) { d.Instances[0].State = s }
	}
	synctest.Test(t, func(t *testing.T) {
		f := newField(Config{})
		f.tell("a", "north", 4, 0)
		g := f.must(t, ask())
		run := g.Run
		g.Failed()
		f.tell("a", "north", 4, 0) // it is heard of, and has not ended
		died := func(q *Query) { q.Died = run }
		began := time.Now()
		_, err := f.Acquire(t.Context(), ask(died))
		if refusal(t, err, spec.CodeUpstream); time.Since(began) != dyingWait {
			t.Errorf("waited %s for an engine that goes on", time.Since(began))
		}
		f.must(t, ask()).Release() // others are served

		go func() {
			time.Sleep(dyingWait / 2)
			f.tell("a", "north", 4, 0, state(wire.InstanceState_INSTANCE_STATE_RESTARTING))
			time.Sleep(2 * dyingWait)
			f.tell("a", "north", 4, 0)
		}()
		again := f.must(t, ask(died))
		if again.Run == run || again.Run.Instance != run.Instance {
			t.Errorf("%+v after %+v", again.Run, run)
		}
		again.Release()
		f.tell("b", "north", 4, 0)
		for range 20 {
			g := f.must(t, ask(func(q *Query) { q.Died = again.Run }))
			if g.Node != "b" {
				t.Error("it is not passed over")
			}
			g.Release()
		}
	})
}
