package gpu

import (
	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// holds tells whether the instance has memory reserved: from before it starts
// until its engine is gone.
func (in *inst) holds() bool {
	if in.spread != nil && !in.spread.own {
		return false
	}
	return in.sleeping || !in.waiting && !in.spent && in.state != wire.InstanceState_INSTANCE_STATE_COLD
}

// leaves tells whether the memory that the instance holds is on its way back.
func (in *inst) leaves() bool {
	return in.sleeping || in.yielding || in.state == wire.InstanceState_INSTANCE_STATE_DRAINING
}

// reserved is the memory of all instances, and the part of it that will be free
// once those which are on their way out are gone.
func (t *table) reserved() (all, leaving uint64) {
	for in := range t.every() {
		if !in.holds() {
			continue
		}
		all += in.load.GetMemoryBytes()
		if in.leaves() {
			leaving += in.load.GetMemoryBytes()
		}
	}
	return all, leaving
}

// free is what no instance has reserved and, as far as the device can tell, nobody
// else uses. What a starting engine has yet to take counts as taken.
func (t *table) free() uint64 {
	all, _ := t.reserved()
	free := t.device.MemoryTotal - min(all, t.device.MemoryTotal)
	if !t.sampled || t.reading.Health != device.Healthy {
		return free
	}
	var coming uint64
	for in := range t.every() {
		if in.holds() && in.engine == nil && !in.leaves() && (in.guest == nil || !in.guest.settled) {
			coming += in.load.GetMemoryBytes()
		}
	}
	return min(free, t.reading.MemoryFree-min(coming, t.reading.MemoryFree))
}

// promised is what waiting instances that are always loaded will take of what
// becomes free.
func (t *table) promised() (bytes uint64) {
	for in := range t.every() {
		if in.waiting && !in.load.GetOnDemand() {
			bytes += in.load.GetMemoryBytes()
		}
	}
	return bytes
}

// placed notes what an instance was placed with, where more may be reserved.
func (t *table) placed(m *wire.LoadModel, predicted uint64) {
	if in := t.instances[spec.InstanceID(m.GetInstance())]; in != nil {
		in.predicted = predicted
	}
}

// hosted is the memory that the device holds for instances of others.
func (t *table) hosted() (out []*wire.InstanceLoad) {
	for _, g := range t.guests {
		if g.load.GetDeployment() != "" && g.holds() {
			out = append(out, &wire.InstanceLoad{Instance: string(g.id), Deployment: g.load.GetDeployment(), State: g.state,
				MemoryReserved: g.load.GetMemoryBytes(), MemoryMeasured: g.measured})
		}
	}
	return out
}

// predicted is what each instance was placed with; of one that was taken over, only
// what is reserved is known.
func (t *table) predicted() map[string]uint64 {
	out := make(map[string]uint64, len(t.instances))
	for _, g := range t.guests {
		out[string(g.id)] = g.load.GetMemoryBytes()
	}
	for id, in := range t.instances {
		if out[string(id)] = in.predicted; in.predicted == 0 {
			out[string(id)] = in.load.GetMemoryBytes()
		}
	}
	return out
}
