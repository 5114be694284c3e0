package gpu

import (
	"slices"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/actors/memory"
	"github.com/lotabots/lotabots/cluster/wire"
)

// reserve is what to reserve for m on the device: what was asked for, or more where
// its like was measured to take more. It is never less: what was asked for may be an
// operator's word. What spreads over devices has what was asked for.
func (a *Actor) reserve(m *wire.LoadModel) uint64 {
	if len(m.GetDevices()) > 0 {
		return m.GetMemoryBytes()
	}
	return min(a.cfg.Learnt.Reserve(memory.KeyOf(m, a.cfg.Device.Name), m.GetMemoryBytes()), max(m.GetMemoryBytes(), a.cfg.Device.MemoryTotal))
}

// learn remembers what the instance was measured to take.
func (a *Actor) learn(in *inst) {
	if in != nil && in.measured > 0 && in.engine != nil && len(in.load.GetDevices()) == 0 {
		a.cfg.Learnt.Note(memory.KeyOf(in.load, a.cfg.Device.Name), in.measured, a.cfg.Now())
	}
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
		if sum > in.measured {
			in.measured = sum
			more = append(more, in)
		}
	}
	return slices.Clip(more)
}
