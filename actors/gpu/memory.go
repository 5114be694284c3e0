package gpu

import (
	"cmp"
	"slices"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/cluster/wire"
)

// holds tells whether the instance has memory reserved: from before it starts
// until its engine is gone.
func (in *inst) holds() bool { return !in.waiting && !in.spent }

// reserved is the memory of all instances, and the part of it that will be free
// once those which are on their way out are gone.
func (t *table) reserved() (all, leaving uint64) {
	for _, in := range t.instances {
		if !in.holds() {
			continue
		}
		all += in.load.GetMemoryBytes()
		if in.state == wire.InstanceState_INSTANCE_STATE_DRAINING {
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
	for _, in := range t.instances {
		if in.holds() && in.engine == nil && in.state != wire.InstanceState_INSTANCE_STATE_DRAINING {
			coming += in.load.GetMemoryBytes()
		}
	}
	return min(free, t.reading.MemoryFree-min(coming, t.reading.MemoryFree))
}

// promised is what waiting instances will take of what becomes free.
func (t *table) promised() (bytes uint64) {
	for _, in := range t.instances {
		if in.waiting {
			bytes += in.load.GetMemoryBytes()
		}
	}
	return bytes
}

// startable lets waiting instances have the memory that has become free, in the
// order in which they were placed, and returns those that are to start now.
func (t *table) startable() []*inst {
	var waiting []*inst
	for _, in := range t.instances {
		if in.waiting {
			waiting = append(waiting, in)
		}
	}
	slices.SortFunc(waiting, func(a, b *inst) int { return cmp.Or(cmp.Compare(a.epoch, b.epoch), cmp.Compare(a.id, b.id)) })
	for i, in := range waiting {
		if in.load.GetMemoryBytes() > t.free() {
			return waiting[:i]
		}
		in.waiting = false
	}
	return waiting
}
