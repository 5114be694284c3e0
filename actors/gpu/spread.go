package gpu

import (
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/actors/instance"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// gatherFor is how long an instance waits for the memory of all its devices.
const gatherFor = time.Minute

// A spread is what an instance over several devices has. The actor of its first
// device owns it and takes memory on each of them before anything starts, one after
// the other in the order of their ids: two that want the same devices cannot each
// hold what the other waits for. What it cannot have whole it gives back whole.
type spread struct {
	order   []spec.DeviceID
	epoch   uint64 // that the others know it by: the instance's may rise
	at      int    // how many of them have given their memory
	own     bool
	since   time.Time // when it began to ask; zero: not yet
	settled bool      // its engine has taken its memory, and the others know
}

func newSpread(own spec.DeviceID, m *wire.LoadModel) *spread {
	s := &spread{order: []spec.DeviceID{own}, epoch: m.GetEpoch()}
	for _, id := range m.GetDevices() {
		s.order = append(s.order, spec.DeviceID(id))
	}
	slices.Sort(s.order)
	return s
}

func (s *spread) complete() bool { return s.at == len(s.order) }

// gathers tells whether the instance still waits for memory on some device.
func (in *inst) gathers() bool { return in.spread != nil && !in.spread.complete() }

// Reserve asks the actor of another device of the node for memory for an instance
// that Owner has. It is answered by Reserved, when its turn comes.
type Reserve struct {
	Instance   spec.InstanceID
	Deployment string
	Epoch      uint64
	Bytes      uint64
	Owner      *actor.PID
}

// Reserved says that the memory is there, or that it never will be.
type Reserved struct {
	Instance spec.InstanceID
	Epoch    uint64
	Device   spec.DeviceID
	Err      error
}

// Free gives the memory back, or asks for it no longer.
type Free struct {
	Instance spec.InstanceID
	Epoch    uint64
	Owner    *actor.PID
}

// Settled says that the instance's engine has taken its memory: what the device
// has free does not include it any more.
type Settled struct {
	Instance spec.InstanceID
	Epoch    uint64
	Owner    *actor.PID
	Engine   engine.Engine // knows its processes, perhaps
}

// Withdrawn says that the device does not hold the memory any more.
type Withdrawn struct {
	Instance spec.InstanceID
	Device   spec.DeviceID
}

// GuestFaulted says that the device which holds the memory has an event.
type GuestFaulted struct {
	Instance spec.InstanceID
	Device   spec.DeviceID
	Event    device.Event
}

// A booking names what is held for others: for each owner apart, since an instance
// that was unloaded from one device and loaded on another has memory for both until
// the first engine has ended.
type booking struct {
	instance spec.InstanceID
	owner    string
}

func bookingOf(id spec.InstanceID, owner *actor.PID) booking { return booking{id, owner.GetId()} }

// A guest is memory that the device holds for an instance which another owns.
type guest struct {
	owner   *actor.PID
	settled bool
}

// reserve takes in a Reserve, which waits for its turn like an instance that is
// always loaded. An error says that it has none.
func (t *table) reserve(m *Reserve) error {
	for _, g := range t.guests {
		if g.id == m.Instance && m.Epoch < g.epoch {
			return spec.Errorf(spec.CodeStaleEpoch, "Device %s holds memory for instance %s of epoch %d; asked is for epoch %d.", t.device.ID, m.Instance, g.epoch, m.Epoch)
		}
	}
	delete(t.guests, bookingOf(m.Instance, m.Owner))
	if t.draining || t.quarantined() {
		return spec.Errorf(spec.CodeDraining, "Device %s takes no more instances.", t.device.ID)
	}
	load := &wire.LoadModel{Instance: string(m.Instance), Deployment: m.Deployment, Epoch: m.Epoch, MemoryBytes: m.Bytes}
	if _, err := t.room(load); err != nil {
		return err
	}
	t.guests[bookingOf(m.Instance, m.Owner)] = &inst{load: load, id: m.Instance, epoch: m.Epoch, state: wire.InstanceState_INSTANCE_STATE_LOADING,
		waiting: true, guest: &guest{owner: m.Owner}}
	return nil
}

// freed takes in a Free.
func (t *table) freed(m *Free) {
	if at := bookingOf(m.Instance, m.Owner); t.guests[at] != nil && t.guests[at].epoch <= m.Epoch {
		delete(t.guests, at)
	}
}

// settled takes in a Settled.
func (t *table) settled(m *Settled) {
	if g := t.guests[bookingOf(m.Instance, m.Owner)]; g != nil && g.epoch == m.Epoch {
		g.guest.settled, g.engine = true, m.Engine
	}
}

// granted notes that a device has given memory to the instance, or never will.
// Nil: that is no news.
func (t *table) granted(m *Reserved) *inst {
	in := t.instances[m.Instance]
	if in == nil || !in.gathers() || in.spent || in.spread.epoch != m.Epoch || in.spread.order[in.spread.at] != m.Device {
		return nil
	}
	if m.Err != nil {
		in.lost(m.Err.Error())
		return in
	}
	in.spread.at++
	return in
}

// lost ends an instance that cannot have the memory of all its devices.
func (in *inst) lost(reason string) {
	in.state, in.reason = wire.InstanceState_INSTANCE_STATE_FAILED, clip(reason, maxReason)
	in.waiting, in.spent, in.unstarted = false, true, true
}

// overdue ends those that have waited too long for one of their devices.
func (t *table) overdue(now time.Time) {
	for _, in := range t.instances {
		if in.gathers() && !in.spent && !in.spread.since.IsZero() && now.Sub(in.spread.since) >= gatherFor {
			in.lost("device " + string(in.spread.order[in.spread.at]) + " did not give its memory within " + gatherFor.String())
		}
	}
}

// every goes over what has memory here: instances, and what is held for others'.
func (t *table) every() iter.Seq[*inst] {
	return func(yield func(*inst) bool) {
		for in := range maps.Values(t.instances) {
			if !yield(in) {
				return
			}
		}
		for g := range maps.Values(t.guests) {
			if !yield(g) {
				return
			}
		}
	}
}

// checkSpread tells why the instance cannot spread over the devices that m names.
func (a *Actor) checkSpread(m *wire.LoadModel) error {
	for i, id := range m.GetDevices() {
		d, ok := a.deviceOf(id)
		switch {
		case !ok || d.Kind != a.cfg.Device.Kind:
			return spec.Errorf(spec.CodeInvalidRequest, "Device %.100s cannot share an instance with %s: it is not on this node, or of another kind.", id, a.cfg.Device.ID)
		case d.ID == a.cfg.Device.ID || slices.Contains(m.GetDevices()[:i], id):
			return spec.Errorf(spec.CodeInvalidRequest, "Device %.100s is named twice.", id)
		}
	}
	if len(m.GetDevices()) > 0 && m.GetOnDemand() {
		return spec.Errorf(spec.CodeUnsupported, "An instance over several devices cannot be loaded on demand.")
	}
	return nil
}

func (a *Actor) deviceOf(id string) (device.Device, bool) {
	for _, d := range a.cfg.Devices {
		if string(d.ID) == id {
			return d, true
		}
	}
	return device.Device{}, false
}

// others are the devices beside its first that an instance spreads over.
func (a *Actor) others(m *wire.LoadModel) (out []device.Device) {
	for _, id := range m.GetDevices() {
		if d, ok := a.deviceOf(id); ok {
			out = append(out, d)
		}
	}
	return out
}

func (a *Actor) peer(c actor.Context, id spec.DeviceID) *actor.PID {
	return actor.NewPID(c.Self().GetAddress(), string(id))
}

// gather asks the next device for memory. It tells whether the instance has all.
func (a *Actor) gather(c actor.Context, in *inst) bool {
	s := in.spread
	if s == nil || s.complete() {
		return true
	}
	if s.since.IsZero() {
		s.since = a.cfg.Now()
	}
	a.spreads[in.id] = in
	next := s.order[s.at]
	if next == a.cfg.Device.ID {
		if _, err := a.table.room(in.load); err != nil { // another has come before it
			in.lost(err.Error())
		} else {
			in.waiting = true // its turn comes by arrange
		}
		return false
	}
	c.Send(a.peer(c, next), &Reserve{Instance: in.id, Deployment: in.load.GetDeployment(), Epoch: s.epoch, Bytes: in.load.GetMemoryBytes(), Owner: c.Self()})
	return false
}

// tellOthers sends m to the actors of the spread's devices beside this one.
func (a *Actor) tellOthers(c actor.Context, s *spread, m any) {
	for _, d := range s.order {
		if d != a.cfg.Device.ID {
			c.Send(a.peer(c, d), m)
		}
	}
}

// mind keeps the other devices right about the instances that spread over them: it
// frees their memory when the instance is gone or has failed, whichever way, and
// tells them when its engine has taken it.
func (a *Actor) mind(c actor.Context) {
	for id, in := range a.spreads {
		switch s := in.spread; {
		case a.table.instances[id] != in || in.spent:
			a.tellOthers(c, s, &Free{Instance: id, Epoch: s.epoch, Owner: c.Self()})
			delete(a.spreads, id)
		case in.engine != nil && !s.settled:
			s.settled = true
			a.tellOthers(c, s, &Settled{Instance: id, Epoch: s.epoch, Owner: c.Self(), Engine: in.engine})
		}
	}
}

// share takes in what the actors of the node's devices tell each other.
func (a *Actor) share(c actor.Context, m any) {
	switch m := m.(type) {
	case *Reserve:
		if err := a.table.reserve(m); err != nil {
			c.Send(m.Owner, &Reserved{Instance: m.Instance, Epoch: m.Epoch, Device: a.cfg.Device.ID, Err: err})
		}
	case *Reserved:
		if in := a.table.granted(m); in != nil && !in.spent {
			a.start(c, in)
		}
	case *Free:
		a.table.freed(m)
	case *Settled:
		a.table.settled(m)
	case *GuestMeasured:
		a.learn(a.table.measuredElsewhere(m))
	case *Withdrawn:
		if in := a.table.instances[m.Instance]; in != nil && in.spread != nil && !in.spent {
			a.cfg.Log.Error("a device has lost the memory of an instance that spreads over it", "instance", m.Instance, "lost_by", m.Device)
			in.state, in.leaving = wire.InstanceState_INSTANCE_STATE_DRAINING, true
			a.stop(c, in)
		}
	case *GuestFaulted:
		in := a.table.instances[m.Instance]
		if in == nil || in.leaving || a.pids[in] == nil {
			break
		}
		if o, knows := engine.As[owner](in.engine); m.Event.PID == 0 || !knows || o.Owns(m.Event.PID) {
			c.Send(a.pids[in], &instance.Fault{Reason: "device " + string(m.Device) + " reports " + m.Event.Text})
		}
	}
	a.arrange(c)
	a.changed(c)
}

// tellGuests tells the owners of what is held here that the device has an event:
// an application's error has their engine start again, and what a lost device held
// is lost.
func (a *Actor) tellGuests(c actor.Context, e device.Event) {
	for _, g := range a.table.guests {
		switch e.Kind {
		case device.AppFault:
			c.Send(g.guest.owner, &GuestFaulted{Instance: g.id, Device: a.cfg.Device.ID, Event: e})
		case device.Gone:
			c.Send(g.guest.owner, &Withdrawn{Instance: g.id, Device: a.cfg.Device.ID})
		}
	}
}

// leaveOthers gives back what this actor holds on other devices, and tells the
// owners of what it holds for them: its successor knows of neither.
func (a *Actor) leaveOthers(c actor.Context) {
	for id, in := range a.spreads {
		a.tellOthers(c, in.spread, &Free{Instance: id, Epoch: in.spread.epoch, Owner: c.Self()})
	}
	for _, g := range a.table.guests {
		c.Send(g.guest.owner, &Withdrawn{Instance: g.id, Device: a.cfg.Device.ID})
	}
}
