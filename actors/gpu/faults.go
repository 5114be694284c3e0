package gpu

import (
	"cmp"
	"math"
	"slices"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/actors/instance"
	"github.com/lotabots/lotabots/cluster/wire"
)

// An owner is an engine that knows its processes.
type owner interface {
	Owns(pid int) bool
}

// quarantined tells whether a fault keeps work away from the device. What runs on it goes on, unless
// the device is gone, until the reconciler has moved it.
func (t *table) quarantined() bool { return t.fault.Kind != "" }

// slots is how many requests the instance may have at a time: fewer than its engine takes where as many
// are served so, or while the device is to get a share of its usual work; no more than it has, while it
// lets its requests run out.
func (t *table) slots(in *inst) int {
	if in.yielding {
		return max(in.leases, 1)
	}
	most := in.places()
	if s := t.share(); s < 1 {
		return min(most, int(math.Ceil(float64(in.slots)*s)))
	}
	return most
}

// share is how much of its usual work the device is to get.
func (t *table) share() float64 {
	if s := t.reading.Share; t.sampled && s > 0 && s < 1 {
		return s
	}
	return 1
}

// owns tells whether the process is an engine's of this device.
func (t *table) owns(pid int) bool {
	for _, in := range t.instances {
		if o, knows := engine.As[owner](in.engine); knows && o.Owns(pid) {
			return true
		}
	}
	return false
}

// happened takes in what has happened to the device, and tells whether that is news, which instances'
// engines have to start again, and which instances have to end.
func (t *table) happened(e device.Event) (news bool, restart, end []*inst) {
	switch e.Kind {
	case device.AppFault:
		return true, t.victims(e.PID), nil
	case device.DeviceFault:
		if t.quarantined() {
			return false, nil, nil
		}
		t.fault = e
		return true, nil, nil
	case device.Gone:
		if t.fault.Kind == device.Gone {
			return false, nil, nil
		}
		t.fault = e
		return true, nil, t.leaveAll(e.Text)
	}
	return true, nil, nil
}

// victims are the instances that an error of the process is about: those whose engine owns it, else
// those that cannot tell. Of an unknown process (pid 0), every one that runs.
func (t *table) victims(pid int) []*inst {
	var owned, unsure []*inst
	for _, in := range t.instances {
		if !in.holds() || in.leaving || in.sleeping {
			continue
		}
		switch o, knows := engine.As[owner](in.engine); {
		case pid == 0 || !knows:
			unsure = append(unsure, in)
		case o.Owns(pid):
			owned = append(owned, in)
		}
	}
	if len(owned) > 0 {
		return owned
	}
	return inOrder(unsure)
}

// leaveAll has every instance leave, and returns those whose actors are to be stopped.
func (t *table) leaveAll(reason string) (stop []*inst) {
	for id, in := range t.instances {
		switch {
		case in.leaving:
		case in.actorless():
			delete(t.instances, id)
			t.bidFarewell(in)
		default:
			in.state, in.reason = wire.InstanceState_INSTANCE_STATE_DRAINING, clip(reason, maxReason)
			in.waiting, in.leaving = false, true
			if !in.sleeping { // that one's actor has been told to stop
				stop = append(stop, in)
			}
		}
	}
	return inOrder(stop)
}

// inOrder sorts by id, so that decisions do not hang on chance.
func inOrder(all []*inst) []*inst {
	slices.SortFunc(all, func(a, b *inst) int { return cmp.Compare(a.id, b.id) })
	return all
}

// faulted carries out what an event asks for.
func (a *Actor) faulted(c actor.Context, e device.Event) {
	a.cfg.Metrics.device.happened(a.cfg.Device.ID, e)
	news, restart, end := a.table.happened(e)
	if !news {
		return
	}
	a.cfg.Log.Warn("device's event", "kind", e.Kind, "event", e.Text, "pid", e.PID, "restarts", len(restart), "ends", len(end))
	if a.table.quarantined() && a.table.fault == e {
		a.cfg.Metrics.device.quarantine(a.cfg.Device.ID, true)
		a.cfg.Quarantines.note(a.cfg.Device.ID, standing{e, a.table.accepted})
		a.cfg.Log.Error("device gets no work until it is resumed", "reason", e.Text, "gone", e.Kind == device.Gone)
	}
	for _, in := range restart {
		if pid := a.pids[in]; pid != nil {
			c.Send(pid, &instance.Fault{Reason: "its device reports " + e.Text})
		}
	}
	for _, in := range end {
		a.stop(c, in)
	}
	a.tellGuests(c, e)
	a.changed(c)
}

// resumed ends a quarantine: what the device shows now is accepted, and only more of it is news.
func (a *Actor) resumed(c actor.Context) {
	if a.table.quarantined() {
		a.cfg.Log.Warn("device gets work again", "fault", a.table.fault.Text)
	}
	a.table.fault, a.table.accepted = device.Event{}, device.Accepting(a.table.reading)
	a.cfg.Metrics.device.quarantine(a.cfg.Device.ID, false)
	a.cfg.Quarantines.note(a.cfg.Device.ID, standing{Accepted: a.table.accepted})
}
