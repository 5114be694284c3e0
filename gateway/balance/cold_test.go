package balance

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

const cold = wire.InstanceState_INSTANCE_STATE_COLD

func inState(s wire.InstanceState) func(*Instance) { return func(in *Instance) { in.State = s } }
func loadsIn(s float64) func(*Instance)            { return func(in *Instance) { in.loadSeconds = s } }

func TestRouse(t *testing.T) {
	q := &Query{Version: 2, Region: "north"}
	for _, c := range []struct {
		name string
		list []*Instance
		want string
	}{
		{"nobody", nil, ""},
		{"one", []*Instance{inst("a", inState(cold))}, "a"},
		{"failed", []*Instance{inst("a", inState(failed))}, ""},
		{"the state's version", []*Instance{inst("a", inState(cold), version(3)), inst("b", inState(cold), version(2)), inst("c", inState(cold))}, "b"},
		{"the newest where the state's is not", []*Instance{inst("a", inState(cold)), inst("b", inState(cold), version(3))}, "b"},
		{"own region", []*Instance{inst("a", inState(cold), inRegion("south")), inst("b", inState(cold))}, "b"},
		{"the soonest loaded", []*Instance{inst("a", inState(cold), loadsIn(9)), inst("b", inState(cold), loadsIn(3))}, "b"},
		{"one is being loaded", []*Instance{inst("a", inState(cold)), inst("b", inState(loading))}, ""},
		{"one has just been asked", []*Instance{inst("a", inState(cold)), inst("b", inState(cold), func(in *Instance) { in.waking = epoch.Add(-wakeWait + 1) })}, ""},
		{"one was asked long ago", []*Instance{inst("b", inState(cold), func(in *Instance) { in.waking = epoch.Add(-wakeWait) })}, "b"},
		{"one loads where nobody can be reached", []*Instance{inst("a", inState(cold)), inst("b", inState(loading), func(in *Instance) { in.node.alive = false })}, "a"},
		{"shunned", []*Instance{inst("a", inState(cold), func(in *Instance) { in.shunned = true })}, ""},
		{"draining", []*Instance{inst("a", inState(cold), func(in *Instance) { in.draining = true })}, ""},
	} {
		got := ""
		if in := rouse(c.list, q, epoch); in != nil {
			got = string(in.Target.Instance)
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestOneOfManyWakes: of the requests for a cold model one is sent to have it
// loaded, all wait for it, and all are served when it is ready.
func TestOneOfManyWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(Config{QueueTimeout: time.Second, LoadTimeout: time.Hour, DigestInterval: time.Hour})
		f.tell("a", "north", 8, 0, func(d *wire.DeviceLoad) { d.Instances[0].State = cold })
		var mu sync.Mutex
		woken, served := 0, 0
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				for {
					g := f.must(t, ask())
					mu.Lock()
					if f.mu.instances["i-a"].State != cold {
						served++
						mu.Unlock()
						return
					}
					woken++
					mu.Unlock()
					g.Rejected(&spec.Rejection{Reason: spec.RejectLoading, RetryAfter: time.Second})
				}
			})
		}
		synctest.Wait()
		if woken != 1 || f.Waiting() != 5 {
			t.Errorf("%d requests had it loaded, %d wait", woken, f.Waiting())
		}
		f.tell("a", "north", 8, 0, func(d *wire.DeviceLoad) { d.Instances[0].State = loading })
		time.Sleep(30 * time.Minute)
		if f.Waiting() != 5 {
			t.Errorf("%d wait while it is being loaded", f.Waiting())
		}
		f.tell("a", "north", 8, 0)
		wg.Wait()
		if woken != 1 || served != 5 {
			t.Errorf("%d had it loaded, %d were served", woken, served)
		}
	})
}

// TestALostWakeIsRepeated: where the digest still says cold, another request asks again.
func TestALostWakeIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(Config{LoadTimeout: time.Minute, DigestInterval: time.Hour})
		sleeps := func(d *wire.DeviceLoad) { d.Instances[0].State = cold }
		f.tell("a", "north", 8, 0, sleeps)
		f.must(t, ask()).Rejected(&spec.Rejection{Reason: spec.RejectLoading})
		asked := make(chan time.Time, 1)
		began := time.Now()
		go func() {
			f.must(t, ask())
			asked <- time.Now()
		}()
		for range 4 {
			time.Sleep(time.Second)
			f.tell("a", "north", 8, 0, sleeps)
		}
		if at := <-asked; at.Sub(began) != wakeWait {
			t.Errorf("asked again after %v", at.Sub(began))
		}
	})
}
