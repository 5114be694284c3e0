package placement

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/wire"
)

// try gives the deployment a canary of the next version.
func try(d *wire.Deployment, replicas uint32, memory uint64) {
	d.LastVersion = d.Newest() + 1
	d.Canary = &wire.Canary{Replicas: replicas, Percent: 10, Runs: &wire.Deployment{Version: d.LastVersion, Engine: d.Engine, MemoryBytes: memory}}
}

// served counts what is ready of each version.
func (s *sim) served(deployment string) map[uint64]int {
	out := map[uint64]int{}
	for _, d := range s.o.Devices {
		for _, i := range d.Load.Instances {
			if i.Deployment == deployment && i.State == wire.InstanceState_INSTANCE_STATE_READY {
				out[i.Version]++
			}
		}
	}
	return out
}

func (s *sim) instances(version uint64) (ids []string) {
	for _, p := range s.w.Placements {
		if p.Version == version {
			ids = append(ids, p.Instance)
		}
	}
	return ids
}

// TestCanaryRunsBeside: a canary's replicas run beside the deployment's, which go on; promoted,
// they are the first of the new version, and given up, they alone go.
func TestCanaryRunsBeside(t *testing.T) {
	for name, promoted := range map[string]bool{"promoted": true, "given up": false} {
		t.Run(name, func(t *testing.T) {
			s := newSim()
			for _, node := range []string{"n1", "n2", "n3"} {
				s.node(node, "eu", 16*gib)
			}
			d := s.deploy("m", 2, 4*gib)
			s.run(t, nil)
			first := s.instances(1)
			try(d, 1, 5*gib)
			s.run(t, nil)
			want(t, "served", s.served("m"), map[uint64]int{1: 2, 2: 1})
			want(t, "the first", s.instances(1), first)
			canary := s.instances(2)
			if promoted {
				runs := d.Canary.Runs
				d.Canary = nil
				d.Run(runs)
				s.run(t, func([]Action) {
					n := 0
					for _, i := range s.served("m") {
						n += i
					}
					if n < 2 {
						t.Fatalf("%v serve", s.served("m"))
					}
				})
				want(t, "served", s.served("m"), map[uint64]int{2: 2})
				want(t, "the canary's is one of them", slices.Contains(s.instances(2), canary[0]), true)
				return
			}
			d.Canary = nil
			s.run(t, nil)
			want(t, "served", s.served("m"), map[uint64]int{1: 2})
			want(t, "the first", s.instances(1), first)
		})
	}
}

// TestNothingGoesForACanary that has no room: it waits, and says so; and what lacks room takes the canary's.
func TestNothingGoesForACanary(t *testing.T) {
	s := newSim()
	s.node("n1", "eu", 10*gib)
	s.node("n2", "eu", 10*gib)
	d := s.deploy("m", 2, 6*gib)
	s.run(t, nil)
	try(d, 1, 6*gib)
	s.run(t, nil)
	want(t, "served", s.served("m"), map[uint64]int{1: 2})
	if all := s.plan(); len(all) != 1 || all[0].Kind != Unplaced || all[0].Version != 2 {
		t.Fatalf("%+v", all)
	}
	s.node("n3", "eu", 10*gib)
	s.run(t, nil)
	want(t, "served", s.served("m"), map[uint64]int{1: 2, 2: 1})
	s.deploy("other", 1, 6*gib)
	s.run(t, nil)
	want(t, "served", s.served("m"), map[uint64]int{1: 2})
	want(t, "other", s.ready("other"), 1)
}

// TestCanaryIsNotScaled: how many replicas its deployment wants is not how many it has.
func TestCanaryIsNotScaled(t *testing.T) {
	s := newSim()
	s.node("n1", "eu", 64*gib)
	s.node("n2", "eu", 64*gib)
	d := s.deploy("m", 1, 4*gib)
	s.w.Replicas["m"], s.w.Floors["m"] = 5, 2
	before := proto.CloneOf(d)
	try(d, 2, 4*gib)
	s.run(t, nil)
	want(t, "served", s.served("m"), map[uint64]int{1: 5, 2: 2})
	before.Canary, before.LastVersion = d.Canary, d.LastVersion
	if !proto.Equal(before, d) {
		t.Fatalf("%v became %v", before, d)
	}
}

// TestACanaryIsGivenUpWhileAVersionRolls: its replicas go, and those go on serving that the new version replaces.
func TestACanaryIsGivenUpWhileAVersionRolls(t *testing.T) {
	s := newSim()
	for _, node := range []string{"n1", "n2", "n3", "n4"} {
		s.node(node, "eu", 8*gib)
	}
	d := s.deploy("m", 2, 4*gib)
	s.run(t, nil)
	try(d, 1, 4*gib)
	s.run(t, nil)
	d.Version, d.LastVersion, d.Slots = 3, 3, 7
	d.Canary, d.GivenUp = nil, 2
	for _, a := range steps(s.plan()) {
		if a.Kind == Unload && a.Version == 1 {
			t.Fatalf("%+v", a)
		}
		s.apply(a)
	}
	s.settle()
	want(t, "served", s.served("m")[2], 0)
	s.run(t, nil)
	want(t, "served", s.served("m"), map[uint64]int{3: 2})
}

// TestNothingMovesForACanary, though it would have room then.
func TestNothingMovesForACanary(t *testing.T) {
	s := newSim()
	s.node("n1", "eu", 20*gib)
	s.node("n2", "eu", 20*gib)
	d := s.deploy("m", 1, 8*gib)
	s.deploy("other", 1, 8*gib)
	s.run(t, nil)
	before := s.instances(1)
	want(t, "devices", s.on(), map[string]int{"n1": 1, "n2": 1})
	try(d, 1, 14*gib)
	s.run(t, nil)
	want(t, "what was there", s.instances(1), before)
	want(t, "canaries", len(s.instances(2)), 0)
}
