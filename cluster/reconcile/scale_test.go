package reconcile

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/cluster/scale"
	"github.com/lotabots/lotabots/cluster/wire"
)

// TestReplicasFollowWhatIsAskedFor: requests that wait bring replicas, which go one by one
// once nobody has asked for the window; a new leader goes on with what is placed.
func TestReplicasFollowWhatIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "n1", "n2", "n3")
		w.deploy("chat", 1, 1)
		w.deployments[0].Scale = &wire.Scale{Min: 1, Max: 3, DownWindowMs: 30_000}
		var mu sync.Mutex
		asked := map[string]scale.Demand{}
		c := w.config()
		registry := prometheus.NewRegistry()
		c.Registerer = registry
		c.Demand = func() map[string]scale.Demand { mu.Lock(); defer mu.Unlock(); return asked }
		r, stop := w.run(c)
		time.Sleep(10 * time.Second)
		if n := w.ready("chat", 1); n != 1 {
			t.Fatalf("%d serve, want 1", n)
		}
		mu.Lock()
		asked = map[string]scale.Demand{"chat": {Waiting: 20, Oldest: 3 * time.Second, Window: 10 * time.Second, Arrived: 30}}
		mu.Unlock()
		time.Sleep(10 * time.Second)
		s := r.Scales()
		if n := w.ready("chat", 1); n != 3 || len(s) != 1 || s[0].Wanted != 3 || s[0].Max != 3 || s[0].Text == "" {
			t.Fatalf("%d serve while 20 requests wait: %+v", n, s)
		}
		told := 0
		families, err := registry.Gather()
		for _, f := range families {
			if name := f.GetName(); name == "lotabots_scale_wanted_replicas" || name == "lotabots_scale_changes_total" {
				told++
			}
		}
		if err != nil || told != 2 {
			t.Errorf("%d of the metrics are told (%v)", told, err)
		}
		stop()
		if s := r.Scales(); len(s) != 0 {
			t.Errorf("who does not lead tells %+v", s)
		}
		mu.Lock()
		asked = nil
		mu.Unlock()
		c.Registerer = nil
		w.run(c)
		time.Sleep(25 * time.Second)
		if n := w.ready("chat", 1); n != 3 {
			t.Fatalf("the new leader has left %d before its window was over", n)
		}
		time.Sleep(60 * time.Second)
		if n := w.ready("chat", 1); n != 1 {
			t.Errorf("%d serve though nobody asks, want 1", n)
		}
		w.change(func() {
			d := w.deployments[0]
			w.deployments[0] = &wire.Deployment{Name: d.Name, Version: d.Version, Model: d.Model, Engine: d.Engine, Replicas: 2, MemoryBytes: d.MemoryBytes}
		})
		time.Sleep(10 * time.Second)
		if n := w.ready("chat", 1); n != 2 {
			t.Errorf("%d serve of the 2 that it wants without a scale", n)
		}
	})
}
