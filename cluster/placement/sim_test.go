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
		w: Wanted{DeadGrace: 30 * time.Second, DrainGrace: 2 * time.Minute, Replicas: map[string]uint32{}, Floors: map[string]uint32{}},
		o: Observed{Now: time.Unix(1000, 0), Alive: map[spec.NodeID]bool{}, Down: map[spec.DeviceID]time.Time{},
			Draining: map[spec.DeviceID]time.Time{}, Usable: map[spec.DeviceID]time.Time{}, Failures: map[FailureKey]Failure{}, Refused: map[spec.InstanceID]string{}},
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
				s.take(i, -1)
				return true
			}
			if i.State == wire.InstanceState_INSTANCE_STATE_LOADING {
				i.State = wire.InstanceState_INSTANCE_STATE_READY
			}
			return false
		})
	}
}

// take has the instance take its memory on each of its devices, or give it back.
func (s *sim) take(i *wire.InstanceLoad, sign int64) {
	at := slices.IndexFunc(s.o.Devices, func(d Device) bool {
		return slices.Contains(d.Load.Instances, i) || slices.Contains(i.Devices, d.Load.Device)
	})
	if at < 0 {
		return
	}
	bytes := taken[i.Instance]
	if onDemand[i.Instance] && sign < 0 {
		bytes = i.MemoryReserved
	}
	for _, d := range s.o.Devices {
		if slices.Contains(d.Load.Instances, i) || slices.Contains(i.Devices, d.Load.Device) {
			d.Load.MemoryFree -= uint64(sign) * bytes
		}
	}
	i.MemoryReserved = 0
	if sign > 0 {
		i.MemoryReserved = bytes
	}
}

// wake loads an instance that is loaded on demand, if it finds room.
func (s *sim) wake(i *wire.InstanceLoad) {
	for _, d := range s.o.Devices {
		if slices.Contains(d.Load.Instances, i) && d.Load.MemoryFree >= taken[i.Instance] {
			i.State = wire.InstanceState_INSTANCE_STATE_READY
			s.take(i, 1)
		}
	}
}

// evict unloads what is loaded on demand there, as a device does for what is always loaded.
func (s *sim) evict(d *wire.DeviceLoad) {
	for _, i := range d.Instances {
		if onDemand[i.Instance] && i.MemoryReserved > 0 {
			s.take(i, -1)
			i.State = wire.InstanceState_INSTANCE_STATE_COLD
		}
	}
}

// By instance: ids are never used twice.
var (
	taken    = map[string]uint64{}
	onDemand = map[string]bool{}
)

// apply does one action.
func (s *sim) apply(a Action) {
	switch a.Kind {
	case Place:
		s.epoch++
		id := fmt.Sprintf("%s-%p-%d", a.Deployment, s, s.epoch)
		taken[id], onDemand[id] = a.Memory, a.OnDemand
		var others []string
		for _, d := range a.Others {
			others = append(others, string(d))
		}
		s.w.Placements = append(s.w.Placements, &wire.Placement{Instance: id, Deployment: a.Deployment, Version: a.Version,
			Node: string(a.Node), Device: string(a.Device), Epoch: s.epoch, MemoryBytes: a.Memory,
			Devices: others, OnDemand: a.OnDemand, Replaces: string(a.Replaces)})
	case Load:
		d := s.device(a.Device)
		i := &wire.InstanceLoad{Instance: string(a.Instance), Deployment: a.Deployment,
			Version: a.Version, Epoch: a.Epoch, State: wire.InstanceState_INSTANCE_STATE_LOADING}
		d.Instances = append(d.Instances, i)
		if a.OnDemand {
			i.State = wire.InstanceState_INSTANCE_STATE_COLD
			break
		}
		for _, o := range a.Others {
			i.Devices = append(i.Devices, string(o))
			s.evict(s.device(o))
		}
		s.evict(d)
		s.take(i, 1)
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
			cold := i.State == wire.InstanceState_INSTANCE_STATE_COLD
			if s.o.Alive[d.Node] && i.Deployment == deployment && (cold || i.State == wire.InstanceState_INSTANCE_STATE_READY) {
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
