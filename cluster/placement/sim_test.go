package placement

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A sim is a small cluster that does what Plan says: devices reserve memory,
// instances get ready after a step, drained ones go after a step.
type sim struct {
	w     Wanted
	o     Observed
	epoch uint64
}

const gib = 1 << 30

func newSim() *sim {
	return &sim{
		w: Wanted{DeadGrace: 30 * time.Second, DrainGrace: 2 * time.Minute},
		o: Observed{Now: time.Unix(1000, 0), Alive: map[spec.NodeID]bool{}, Down: map[spec.DeviceID]time.Time{},
			Draining: map[spec.DeviceID]time.Time{}, Failures: map[FailureKey]Failure{}, Refused: map[spec.InstanceID]string{}},
	}
}

func (s *sim) node(id, region string, devices ...uint64) {
	s.w.Nodes = append(s.w.Nodes, &wire.Node{Id: id, Region: region, Roles: []string{"worker"}, State: wire.NodeState_NODE_STATE_ACTIVE})
	s.o.Alive[spec.NodeID(id)] = true
	for i, mem := range devices {
		s.o.Devices = append(s.o.Devices, Device{Node: spec.NodeID(id), Load: &wire.DeviceLoad{
			Device: fmt.Sprintf("gpu/%s-%d", id, i), MemoryTotal: mem, MemoryFree: mem, Health: "ok"}})
	}
}

func (s *sim) deploy(name string, replicas uint32, memory uint64) *wire.Deployment {
	d := &wire.Deployment{Name: name, Version: 1, Engine: "embedded", Replicas: replicas, MemoryBytes: memory}
	s.w.Deployments = append(s.w.Deployments, d)
	return d
}

func (s *sim) device(id spec.DeviceID) *wire.DeviceLoad {
	for _, d := range s.o.Devices {
		if d.Load.Device == string(id) {
			return d.Load
		}
	}
	return nil
}

// settle lets loading ones become ready and draining ones go.
func (s *sim) settle() {
	for _, d := range s.o.Devices {
		d.Load.Instances = slices.DeleteFunc(d.Load.Instances, func(i *wire.InstanceLoad) bool {
			if i.State == wire.InstanceState_INSTANCE_STATE_DRAINING && !d.Load.Draining {
				d.Load.MemoryFree += s.memoryOf(i.Instance)
				return true
			}
			if i.State == wire.InstanceState_INSTANCE_STATE_LOADING {
				i.State = wire.InstanceState_INSTANCE_STATE_READY
			}
			return false
		})
	}
}

var taken = map[string]uint64{} // by instance: ids are never used twice

func (s *sim) memoryOf(instance string) uint64 { return taken[instance] }

// apply does one action.
func (s *sim) apply(a Action) {
	switch a.Kind {
	case Place:
		s.epoch++
		id := fmt.Sprintf("%s-%p-%d", a.Deployment, s, s.epoch)
		taken[id] = a.Memory
		s.w.Placements = append(s.w.Placements, &wire.Placement{Instance: id, Deployment: a.Deployment, Version: a.Version,
			Node: string(a.Node), Device: string(a.Device), Epoch: s.epoch, MemoryBytes: a.Memory})
	case Load:
		d := s.device(a.Device)
		d.MemoryFree -= a.Memory
		d.Instances = append(d.Instances, &wire.InstanceLoad{Instance: string(a.Instance), Deployment: a.Deployment,
			Version: a.Version, Epoch: a.Epoch, State: wire.InstanceState_INSTANCE_STATE_LOADING})
	case Unload:
		for _, i := range s.device(a.Device).Instances {
			if i.Instance == string(a.Instance) {
				i.State = wire.InstanceState_INSTANCE_STATE_DRAINING
			}
		}
	case Remove:
		s.w.Placements = slices.DeleteFunc(s.w.Placements, func(p *wire.Placement) bool { return p.Instance == string(a.Instance) })
	}
}

func (s *sim) plan() []Action { return Plan(s.w, s.o) }

// steps returns what a plan does, without what it only says.
func steps(actions []Action) (out []Action) {
	for _, a := range actions {
		if a.Kind != Unplaced {
			out = append(out, a)
		}
	}
	return out
}

// run plans and applies until nothing is left to do.
func (s *sim) run(t fataler, each func([]Action)) {
	for range 60 {
		actions := steps(s.plan())
		if each != nil {
			each(actions)
		}
		for _, a := range actions {
			s.apply(a)
		}
		s.settle()
		if len(actions) == 0 && len(steps(s.plan())) == 0 {
			return
		}
	}
	t.Fatalf("no rest after 60 rounds; next: %+v", s.plan())
}

type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

// on counts placements by node.
func (s *sim) on() map[string]int {
	out := map[string]int{}
	for _, p := range s.w.Placements {
		out[p.Node]++
	}
	return out
}

func (s *sim) ready(deployment string) (n int) {
	for _, d := range s.o.Devices {
		for _, i := range d.Load.Instances {
			if s.o.Alive[d.Node] && i.Deployment == deployment && i.State == wire.InstanceState_INSTANCE_STATE_READY {
				n++
			}
		}
	}
	return n
}

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}
