package gpu

import (
	"fmt"
	"slices"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/actors/memory"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// reserve is what to reserve for m on the device, by what its like were measured to
// take and by whose word it was placed with. No device can give more than it has.
func (a *Actor) reserve(m *wire.LoadModel) uint64 {
	known := a.cfg.Learnt.Of(memory.KeyOf(m, a.cfg.Device.Name), a.cfg.Now())
	return min(known.Reserve(m.GetMemoryBytes(), m.GetMemorySource()), max(m.GetMemoryBytes(), a.cfg.Device.MemoryTotal))
}

// learn remembers what the instance's engine was measured to take: of the host's memory
// what it has at all times, for a client's great request is no reason to reserve as much
// for the next; of a device what it had at most, on the one of its devices where that is
// the most: as much is reserved on each.
func (a *Actor) learn(in *inst) {
	if in == nil || in.guest != nil || in.engine == nil {
		return
	}
	key, who := memory.KeyOf(in.load, a.cfg.Device.Name), a.engineOf(in)
	if a.cfg.Device.Kind != device.KindNVIDIA {
		a.cfg.Learnt.Steady(key, who, in.steady, a.cfg.Now())
		return
	}
	most := in.most
	for _, bytes := range in.elsewhere {
		most = max(most, bytes)
	}
	a.cfg.Learnt.Note(key, who, most, a.cfg.Now())
}

// identified is an engine that tells itself from all others, also to the process of the
// node that takes it over.
type identified interface{ Identity() string }

// engineOf names the engine that the instance has now: one that was started again after
// a crash is another, one that was taken over is the same.
func (a *Actor) engineOf(in *inst) string {
	if e, tells := engine.As[identified](in.engine); tells {
		if who := e.Identity(); who != "" {
			return fmt.Sprintf("%s %s", in.id, who)
		}
	}
	return fmt.Sprintf("%s %d.%d %x", in.id, in.run, in.engines, a.born)
}

// A GuestMeasured tells the owner of an instance what its engine was seen to take on
// another of its devices.
type GuestMeasured struct {
	Instance spec.InstanceID
	Epoch    uint64
	Device   spec.DeviceID
	Bytes    uint64
}

// weighed learns of instances that have more on the device than was known, or has
// those learn that own them.
func (a *Actor) weighed(c actor.Context, processes []device.Process) {
	for _, in := range a.table.weigh(processes) {
		if in.guest != nil {
			c.Send(in.guest.owner, &GuestMeasured{Instance: in.id, Epoch: in.epoch, Device: a.cfg.Device.ID, Bytes: in.measured})
		}
	}
	for _, in := range a.table.instances {
		if in.measured > 0 {
			a.learn(in)
		}
	}
}

// measuredElsewhere takes in a GuestMeasured.
func (t *table) measuredElsewhere(m *GuestMeasured) *inst {
	in := t.instances[m.Instance]
	if in == nil || in.spread == nil || in.spread.epoch != m.Epoch || !slices.Contains(in.spread.order, m.Device) {
		return nil
	}
	if in.elsewhere == nil {
		in.elsewhere = map[spec.DeviceID]uint64{}
	}
	in.elsewhere[m.Device] = max(in.elsewhere[m.Device], m.Bytes)
	return in
}

// weigh takes in what each process has on the device, and returns the instances
// that have more than was known.
func (t *table) weigh(processes []device.Process) (more []*inst) {
	if len(processes) == 0 {
		return nil
	}
	for _, in := range t.sorted() {
		o, knows := engine.As[owner](in.engine)
		if !knows {
			continue
		}
		var sum uint64
		for _, p := range processes {
			if o.Owns(p.PID) {
				sum += p.Memory
			}
		}
		in.most = max(in.most, sum)
		if sum > in.measured {
			in.measured = sum
			more = append(more, in)
		}
	}
	return slices.Clip(more)
}
