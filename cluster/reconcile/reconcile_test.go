package reconcile

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/placement"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// TestConverges through scaling, a new version and removal, and then rests.
func TestConverges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "n1", "n2", "n3")
		w.models = []*wire.Model{{Name: "m", Digest: []byte("digest")}}
		w.deploy("chat", 1, 2)
		w.change(func() { w.deployments[0].Model = "m" })
		w.run(w.config())
		time.Sleep(5 * time.Second)
		if n := w.ready("chat", 1); n != 2 {
			t.Fatalf("%d serve, want 2", n)
		}
		load := w.log()[0].m.(*wire.LoadModel)
		if load.Epoch == 0 || load.Model != "m" || string(load.Digest) != "digest" || load.MemoryBytes != gib || !strings.HasPrefix(load.Instance, "chat-") {
			t.Errorf("the command was %v", load)
		}
		for _, c := range w.writes() {
			if c.RequestId == "" || c.AtMs == 0 || c.Level == 0 || c.Principal != "reconciler" {
				t.Errorf("the write was %v", c)
			}
		}
		w.deploy("chat", 2, 3)
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			if n := w.ready("chat", 1) + w.ready("chat", 2); n < 2 {
				t.Fatalf("%d serve while the version changes", n)
			}
		}
		if n, old := w.ready("chat", 2), w.ready("chat", 1); n != 3 || old != 0 {
			t.Errorf("%d of the new version serve, %d of the old", n, old)
		}
		before := len(w.log()) + len(w.writes())
		time.Sleep(time.Minute)
		if after := len(w.log()) + len(w.writes()); after != before {
			t.Errorf("%d actions though all is as wanted", after-before)
		}
		w.change(func() { w.deployments = nil })
		time.Sleep(10 * time.Second)
		if instances, placements := w.held(); instances != 0 || placements != 0 {
			t.Errorf("%d instances and %d placements are left", instances, placements)
		}
	})
}

// TestDeadNodeIsReplacedAfterItsGrace, and not before.
func TestDeadNodeIsReplacedAfterItsGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "n1", "n2")
		w.deploy("chat", 1, 1)
		w.run(w.config())
		time.Sleep(5 * time.Second)
		on := w.Placements()[0].Node
		w.change(func() { w.alive[spec.NodeID(on)] = false })
		time.Sleep(25 * time.Second)
		if p := w.Placements(); len(p) != 1 || p[0].Node != on {
			t.Fatalf("moved before its grace was over: %v", p)
		}
		time.Sleep(15 * time.Second)
		if p := w.Placements(); len(p) != 1 || p[0].Node == on || w.ready("chat", 1) != 1 {
			t.Fatalf("not moved after its grace: %v", p)
		}
		w.change(func() { w.alive[spec.NodeID(on)] = true }) // with the old instance still loaded
		time.Sleep(10 * time.Second)
		if instances, placements := w.held(); instances != 1 || placements != 1 {
			t.Errorf("%d instances and %d placements, want the one", instances, placements)
		}
	})
}

// TestWhoComesBackIsToldAndNotBefore: a node that was cut off keeps its instance until it is
// heard of again; then it is told to let it go, of its own epoch, and its requests may end.
func TestWhoComesBackIsToldAndNotBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "n1", "n2")
		w.deploy("chat", 1, 1)
		registry := prometheus.NewRegistry()
		c := w.config()
		c.Registerer = registry
		w.run(c)
		time.Sleep(5 * time.Second)
		first := w.Placements()[0]
		w.change(func() { w.alive[spec.NodeID(first.Node)] = false })
		time.Sleep(time.Minute)
		if instances, placements := w.held(); instances != 2 || placements != 1 {
			t.Fatalf("%d instances and %d placements, want the one that is cut off beside its replacement", instances, placements)
		}
		sent := len(w.log())
		w.change(func() { w.alive[spec.NodeID(first.Node)] = true })
		time.Sleep(10 * time.Second)
		told := w.log()[sent:]
		if len(told) != 1 {
			t.Fatalf("%d commands, want the one to let it go: %v", len(told), told)
		}
		if u, is := told[0].m.(*wire.UnloadModel); !is || u.Instance != first.Instance || u.Epoch != first.Epoch || !u.Drain {
			t.Errorf("it was told %v, placed as %v", told[0].m, first)
		}
		moves := map[string]float64{}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.Metric {
				if f.GetName() == "lotabots_placement_moves_total" && m.Counter.GetValue() > 0 {
					moves[m.Label[0].GetValue()] = m.Counter.GetValue()
				}
			}
		}
		if len(moves) != 2 || moves["scale"] != 1 || moves["node_lost"] != 1 {
			t.Errorf("moves: %v", moves)
		}
	})
}

// TestGracesMayChange also while a node is dead.
func TestGracesMayChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "n1", "n2")
		w.deploy("chat", 1, 1)
		c := w.config()
		c.DeadGrace = time.Hour
		r, _ := w.run(c)
		time.Sleep(5 * time.Second)
		on := w.Placements()[0].Node
		w.change(func() { w.alive[spec.NodeID(on)] = false })
		time.Sleep(2 * time.Minute)
		if p := w.Placements(); len(p) != 1 || p[0].Node != on {
			t.Fatalf("moved before its grace was over: %v", p)
		}
		r.SetGraces(Graces{Dead: time.Minute, Drain: time.Minute})
		time.Sleep(5 * time.Second)
		if p := w.Placements(); len(p) != 1 || p[0].Node == on {
			t.Fatalf("not moved by the new grace: %v", p)
		}
	})
}

// TestRetriesRestLongerAndLonger while a device is not reached, and go on until it is.
func TestRetriesRestLongerAndLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "n1")
		w.deploy("chat", 1, 1)
		reached := false
		w.command = func(context.Context, spec.DeviceID, proto.Message) error {
			return locked(w, func() error {
				if reached {
					return nil
				}
				return errors.New("unreachable")
			})
		}
		c := w.config()
		c.Interval = 50 * time.Millisecond
		w.run(c)
		time.Sleep(2 * time.Minute)
		tries := w.log()
		if len(tries) < 8 || len(tries) > 12 {
			t.Errorf("%d tries in two minutes", len(tries))
		}
		for i := 2; i < len(tries); i++ {
			last, this := tries[i-1].at.Sub(tries[i-2].at), tries[i].at.Sub(tries[i-1].at)
			if this < last-2*c.Interval || this > 31*time.Second {
				t.Errorf("try %d came %s after the last, that one %s", i, this, last)
			}
		}
		if n := len(w.writes()); n != 1 {
			t.Errorf("%d writes: a device that is not reached has refused nothing", n)
		}
		w.change(func() { reached = true })
		time.Sleep(35 * time.Second)
		if w.ready("chat", 1) != 1 {
			t.Error("not loaded when it could be")
		}
	})
}

// TestRefusalsMoveAnInstance: what a device will not load goes to another one.
func TestRefusalsMoveAnInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "n1", "n2")
		w.deploy("chat", 1, 1)
		w.command = func(_ context.Context, d spec.DeviceID, m proto.Message) error {
			if _, load := m.(*wire.LoadModel); load && d == "gpu/n1" {
				return spec.Errorf(spec.CodeEngineUnavailable, "no engine here")
			}
			return nil
		}
		w.run(w.config())
		time.Sleep(20 * time.Second)
		if p := w.Placements(); len(p) != 1 || p[0].Node != "n2" || w.ready("chat", 1) != 1 {
			t.Errorf("placements %v", p)
		}
		refused := 0
		for _, s := range w.log() {
			if s.device == "gpu/n1" {
				refused++
			}
		}
		if refused < refusalLimit || refused > refusalLimit+2 {
			t.Errorf("the first device was asked %d times", refused)
		}
	})
}

// TestCrashedInstanceIsPlacedElsewhere, and the device is left alone for a while.
func TestCrashedInstanceIsPlacedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "n1", "n2")
		w.deploy("chat", 1, 1)
		w.run(w.config())
		time.Sleep(5 * time.Second)
		was := w.Placements()[0]
		w.change(func() {
			w.devices[spec.DeviceID(was.Device)].instances[was.Instance].state = wire.InstanceState_INSTANCE_STATE_FAILED
		})
		time.Sleep(15 * time.Second)
		if p := w.Placements(); len(p) != 1 || p[0].Device == was.Device || w.ready("chat", 1) != 1 {
			t.Errorf("placements %v, before %v", p, was)
		}
	})
}

// TestNoCommandTwiceAtOnce: slow devices hold up neither each other nor the
// loop, and none gets a command again while it works on it (the world checks).
func TestNoCommandTwiceAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "n1", "n2", "n3")
		w.deploy("chat", 1, 3)
		w.command = func(ctx context.Context, d spec.DeviceID, _ proto.Message) error {
			if d == "gpu/n1" {
				<-ctx.Done() // until the loop gives it up
				return ctx.Err()
			}
			time.Sleep(8 * time.Second)
			return nil
		}
		c := w.config()
		c.Interval = 100 * time.Millisecond
		w.run(c)
		time.Sleep(10 * time.Second)
		if n := w.ready("chat", 1); n != 2 {
			t.Errorf("%d serve, want 2 beside the one that hangs", n)
		}
		w.deploy("more", 1, 2)
		w.change(func() { w.command = nil })
		time.Sleep(20 * time.Second)
		if n := w.ready("chat", 1) + w.ready("more", 1); n != 5 {
			t.Errorf("%d serve, want 5", n)
		}
	})
}

// TestCommandsAreBounded however many instances there are.
func TestCommandsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "n1")
		w.change(func() { w.devices["gpu/n1"].memory = 1000 * gib })
		w.deploy("chat", 1, 3*atOnce)
		w.command = func(context.Context, spec.DeviceID, proto.Message) error { time.Sleep(2 * time.Second); return nil }
		w.run(w.config())
		time.Sleep(30 * time.Second)
		if n := w.ready("chat", 1); n != 3*atOnce || w.most != atOnce {
			t.Errorf("%d serve, %d commands were under way at a time", n, w.most)
		}
	})
}

func TestWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "n1")
		c := w.config()
		c.Interval = time.Hour
		r, _ := w.run(c)
		synctest.Wait()
		w.deploy("chat", 1, 1)
		time.Sleep(time.Minute)
		if len(w.writes()) != 0 {
			t.Fatal("it looked without being woken")
		}
		for range 3 {
			r.Wake()
		}
		time.Sleep(time.Second)
		if len(w.writes()) != 1 || len(w.log()) != 1 {
			t.Errorf("%d writes and %d commands after it was woken, want one of each", len(w.writes()), len(w.log()))
		}
	})
}

// TestStopsCleanly: Run returns when its last command has.
func TestStopsCleanly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "n1")
		w.deploy("chat", 1, 1)
		w.deploy("none", 1, 1)
		w.change(func() { w.deployments[1].Regions = []string{"mars"} })
		w.command = func(ctx context.Context, _ spec.DeviceID, _ proto.Message) error {
			<-ctx.Done()
			time.Sleep(300 * time.Millisecond) // it takes a while to hear it
			return ctx.Err()
		}
		var lines bytes.Buffer
		c := w.config()
		c.Log = slog.New(slog.NewTextHandler(&lines, nil))
		c.Registerer = prometheus.NewRegistry()
		r, stop := w.run(c)
		time.Sleep(3 * time.Second)
		if u := r.Unplaced(); len(u) != 1 || u[0].Deployment != "none" || u[0].Kind != placement.Unplaced {
			t.Errorf("unplaced: %v", u)
		}
		began := time.Now()
		stop()
		if took := time.Since(began); took < 300*time.Millisecond || took > time.Second {
			t.Errorf("it returned after %s", took)
		}
		if w.underWay != 0 || len(r.Unplaced()) != 0 {
			t.Errorf("%d commands are under way, unplaced %v", w.underWay, r.Unplaced())
		}
		if n := strings.Count(lines.String(), "has no place"); n != 1 {
			t.Errorf("the lack of a place was told %d times", n)
		}
		if strings.Contains(lines.String(), "action failed") {
			t.Errorf("a command that was called off counts as failed: %s", lines.String())
		}
	})
}

// TestTwoReasonsAreToldOnceEach though they come with every turn.
func TestTwoReasonsAreToldOnceEach(t *testing.T) {
	var lines bytes.Buffer
	r := New(Config{Log: slog.New(slog.NewTextHandler(&lines, nil))})
	tm := newTerm(r)
	for range 5 {
		tm.say([]placement.Action{{Deployment: "d", Reason: "full"}, {Deployment: "d", Reason: "short"}, {Deployment: "d", Reason: "short"}}, nil)
	}
	if n := strings.Count(lines.String(), "\n"); n != 2 {
		t.Errorf("%d lines:\n%s", n, lines.String())
	}
}
