package placement

import (
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func three() *sim {
	s := newSim()
	s.node("n1", "eu", 16*gib)
	s.node("n2", "eu", 16*gib)
	s.node("n3", "us", 16*gib)
	return s
}

func TestReplicasSpreadOverRegionsThenNodes(t *testing.T) {
	s := three()
	s.deploy("m", 2, 4*gib)
	s.run(t, nil)
	want(t, "placed", s.on(), map[string]int{"n1": 1, "n3": 1})
	s.w.Deployments[0].Replicas = 3
	s.run(t, nil)
	want(t, "placed", s.on(), map[string]int{"n1": 1, "n2": 1, "n3": 1})
	s.w.Deployments[0].Replicas = 1
	s.run(t, nil)
	want(t, "placed after scaling down", len(s.w.Placements), 1)
	want(t, "ready", s.ready("m"), 1)
}

func TestMinPerRegionComesFirst(t *testing.T) {
	s := three()
	d := s.deploy("m", 1, 4*gib)
	d.MinPerRegion = 1
	s.run(t, nil)
	want(t, "placed", s.on(), map[string]int{"n1": 1, "n3": 1})
	d.Regions = []string{"eu"}
	s.run(t, nil)
	want(t, "placed in eu alone", s.on(), map[string]int{"n1": 1})
}

// TestNodeWithoutARegionIsInNone: else replicas were placed for it anywhere, and
// removed again as too many, for ever.
func TestNodeWithoutARegionIsInNone(t *testing.T) {
	s := three()
	s.deploy("m", 1, 4*gib).MinPerRegion = 1
	s.node("n0", "", 0)
	s.run(t, nil)
	want(t, "placed", s.on(), map[string]int{"n1": 1, "n3": 1})
}

func TestSecondReplicaSharesADeviceOnlyUntilThereIsAnother(t *testing.T) {
	s := newSim()
	s.node("n1", "eu", 16*gib)
	s.deploy("m", 2, 4*gib)
	s.run(t, nil)
	want(t, "placed", s.on(), map[string]int{"n1": 2})
	s.node("n2", "eu", 16*gib)
	s.run(t, func([]Action) {
		if s.ready("m") < 2 {
			t.Fatal("fewer replicas served while one moved")
		}
	})
	want(t, "placed", s.on(), map[string]int{"n1": 1, "n2": 1})
}

func TestDeadNodeKeepsItsPlacementsForTheGrace(t *testing.T) {
	s := three()
	d := s.deploy("m", 2, 4*gib)
	d.Regions = []string{"eu"}
	s.run(t, nil)
	s.o.Alive["n2"] = false
	s.o.Down["gpu/n2-0"] = s.o.Now
	s.o.Now = s.o.Now.Add(s.w.DeadGrace - time.Second)
	want(t, "actions within the grace", len(s.plan()), 0)
	s.o.Now = s.o.Now.Add(2 * time.Second)
	s.run(t, nil)
	want(t, "placed", s.on(), map[string]int{"n1": 2})

	s.o.Alive["n2"] = true // with the instance that it had
	delete(s.o.Down, "gpu/n2-0")
	s.run(t, nil)
	want(t, "placed after the return", s.on(), map[string]int{"n1": 1, "n2": 1})
	want(t, "ready", s.ready("m"), 2)
}

func TestRollingRestartMovesNothing(t *testing.T) {
	s := three()
	s.deploy("m", 3, 4*gib)
	s.run(t, nil)
	dev := s.device("gpu/n1-0")
	dev.Draining = true
	s.o.Draining["gpu/n1-0"] = s.o.Now
	dev.Instances[0].State = wire.InstanceState_INSTANCE_STATE_DRAINING
	want(t, "while it drains", len(s.plan()), 0)
	s.o.Alive["n1"] = false
	want(t, "while it is away", len(s.plan()), 0)
	s.o.Alive["n1"], dev.Draining, dev.Instances, dev.MemoryFree = true, false, nil, dev.MemoryTotal
	actions := s.plan()
	if len(actions) != 1 || actions[0].Kind != Load || actions[0].Node != "n1" {
		t.Fatalf("after its return: %+v, want one load on n1", actions)
	}
}

func TestDrainedNodeIsEmptiedAfterTheGrace(t *testing.T) {
	s := three()
	s.deploy("m", 2, 4*gib)
	s.run(t, nil)
	s.w.Nodes[0].State = wire.NodeState_NODE_STATE_DRAINING
	s.o.Draining["gpu/n1-0"] = s.o.Now
	want(t, "within the grace", len(s.plan()), 0)
	s.o.Now = s.o.Now.Add(s.w.DrainGrace)
	s.run(t, func([]Action) {
		if s.ready("m") < 2 {
			t.Fatal("a replica was unloaded before its replacement was ready")
		}
	})
	want(t, "placed", s.on(), map[string]int{"n2": 1, "n3": 1})
}

func TestRemovedNodeLosesItsPlacementsAtOnce(t *testing.T) {
	s := three()
	s.deploy("m", 2, 4*gib)
	s.run(t, nil)
	s.w.Nodes[0].State = wire.NodeState_NODE_STATE_REMOVED
	s.o.Alive["n1"] = false
	s.run(t, nil)
	want(t, "placed", s.on(), map[string]int{"n2": 1, "n3": 1})
}

func TestNewVersionServesBeforeTheOldEnds(t *testing.T) {
	s := newSim()
	s.node("n1", "eu", 16*gib)
	d := s.deploy("m", 1, 6*gib)
	s.run(t, nil)
	d.Version = 2
	s.run(t, func([]Action) {
		if s.ready("m") < 1 {
			t.Fatal("nothing served in between")
		}
	})
	want(t, "placements", len(s.w.Placements), 1)
	want(t, "version", s.w.Placements[0].Version, 2)
}

func TestNewVersionWithoutRoomGoesOneByOne(t *testing.T) {
	s := three()
	d := s.deploy("m", 3, 12*gib)
	s.run(t, nil)
	d.Version = 2
	least := 3
	s.run(t, func([]Action) { least = min(least, s.ready("m")) })
	want(t, "fewest that served", least, 2)
	for _, p := range s.w.Placements {
		want(t, "version", p.Version, 2)
	}

	alone := newSim()
	alone.node("n1", "eu", 16*gib)
	d = alone.deploy("m", 1, 12*gib)
	alone.run(t, nil)
	d.Version = 2
	alone.run(t, nil)
	want(t, "the last one that serves stays", alone.ready("m"), 1)
	got := alone.plan()
	if len(got) != 1 || got[0].Kind != Unplaced || !strings.Contains(got[0].Reason, "still runs") {
		t.Fatalf("got %+v, want one Unplaced that says why", got)
	}
}

func TestFailedInstanceIsRetriedElsewhereThenAgain(t *testing.T) {
	s := newSim()
	s.node("n1", "eu", 16*gib)
	d := s.deploy("m", 1, 4*gib)
	s.run(t, nil)
	dev := s.device("gpu/n1-0")
	dev.Instances[0].State = wire.InstanceState_INSTANCE_STATE_FAILED
	key := FailureKey{"m", d.Version, "gpu/n1-0"}
	s.o.Failures[key] = Failure{1, s.o.Now.Add(time.Minute)}
	got := s.plan()
	if len(got) != 1 || got[0].Kind != Unplaced || !strings.Contains(got[0].Reason, "failed") {
		t.Fatalf("got %+v, want one Unplaced for the failure", got)
	}
	s.node("n2", "eu", 16*gib)
	got = s.plan()
	if len(got) != 2 || got[0].Kind != Place || got[0].Node != "n2" || got[1].Kind != Unload {
		t.Fatalf("got %+v, want a place on n2 and the failed one unloaded", got)
	}
	s.o.Alive["n2"] = false
	s.o.Now = s.o.Now.Add(time.Hour)
	s.run(t, nil)
	want(t, "ready after the back-off", s.ready("m"), 1)
}

func TestUnhealthyDeviceIsLeftAfterTheGrace(t *testing.T) {
	s := newSim()
	s.node("n1", "eu", 16*gib, 16*gib)
	s.deploy("m", 1, 4*gib)
	s.run(t, nil)
	s.device("gpu/n1-0").Health = "xid 79"
	s.o.Down["gpu/n1-0"] = s.o.Now.Add(-time.Hour)
	s.run(t, nil)
	want(t, "placed", s.w.Placements[0].Device, "gpu/n1-1")
}

func TestRemovedDeploymentAndOrphansAreUnloaded(t *testing.T) {
	s := three()
	s.deploy("m", 3, 4*gib)
	s.run(t, nil)
	s.w.Deployments = nil
	s.w.Placements = s.w.Placements[:2] // the third became an orphan
	s.run(t, nil)
	want(t, "placements", len(s.w.Placements), 0)
	want(t, "instances", s.ready("m"), 0)
}

func TestUnplacedSaysWhy(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*sim, *wire.Deployment)
		want   string
	}{
		"memory":     {func(_ *sim, d *wire.Deployment) { d.MemoryBytes = 16 * gib }, "has 16384 MiB free"},
		"region":     {func(_ *sim, d *wire.Deployment) { d.Regions = []string{"ap"} }, "no healthy device"},
		"model":      {func(_ *sim, d *wire.Deployment) { d.Model = "absent" }, "model absent is not imported"},
		"everything": {func(s *sim, _ *wire.Deployment) { clear(s.o.Alive) }, "no healthy device"},
	} {
		s := three()
		c.change(s, s.deploy("m", 1, 4*gib))
		got := s.plan()
		if len(got) != 1 || got[0].Kind != Unplaced || !strings.Contains(got[0].Reason, c.want) {
			t.Errorf("%s: got %+v, want one Unplaced with %q", name, got, c.want)
		}
	}
}

func TestExternalEngineTakesNoMemory(t *testing.T) {
	s := newSim()
	s.node("n1", "eu", 0)
	d := s.deploy("m", 2, 4*gib)
	d.Engine = "external"
	s.run(t, nil)
	want(t, "ready", s.ready("m"), 2)
	want(t, "estimate", Memory(&wire.Deployment{Engine: "embedded"}, &wire.Model{Size: 4 * gib}), uint64(5*gib+engineOverhead))
}

// TestWhatIsNotHeardOfIsNotReplacedAtOnce: a new version is no reason to give up an old
// one that may well serve, though nobody hears of its node for a moment.
func TestWhatIsNotHeardOfIsNotReplacedAtOnce(t *testing.T) {
	s := newSim()
	s.node("n1", "eu", 16*gib)
	s.node("n2", "eu", 16*gib)
	d := s.deploy("m", 1, 6*gib)
	s.run(t, nil)
	home := s.w.Placements[0].GetNode()
	d.Version = 2
	s.o.Alive[spec.NodeID(home)] = false
	s.o.Down[spec.DeviceID("gpu/"+home+"-0")] = s.o.Now
	for _, a := range s.plan() {
		if a.Kind == Remove || a.Kind == Unload {
			t.Errorf("%+v", a)
		}
	}
}
