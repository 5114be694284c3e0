package gpu

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// An attacher has engines that run already, and those that nobody takes over to end.
type attacher interface {
	Attach(spec.InstanceID) (engine.Engine, bool)
	Disown(id spec.InstanceID, why string)
}

func (a *Actor) attach() func(spec.InstanceID) (engine.Engine, bool) {
	if e, ok := a.cfg.Engines.(attacher); ok {
		return e.Attach
	}
	return nil
}

// adopt takes over what the node's process before has left running on the device. Whether it has a
// placement still is the leader's to say, who reads of it in the first digest.
func (a *Actor) adopt(c actor.Context) {
	if a.cfg.Guests != nil {
		for _, g := range a.cfg.Guests() {
			a.table.host(g.Load, a.peer(c, g.Owner))
		}
	}
	if a.cfg.Found == nil {
		return
	}
	for _, m := range a.cfg.Found() {
		in, err := a.table.adopt(m, a.cfg.Now())
		if err != nil {
			a.cfg.Log.Warn("an engine that runs is not taken over", "instance", m.GetInstance(), "error", err)
			if e, ok := a.cfg.Engines.(attacher); ok {
				e.Disown(spec.InstanceID(m.GetInstance()), err.Error())
			}
			continue
		}
		a.cfg.Log.Info("instance is taken over", "instance", m.GetInstance(), "deployment", m.GetDeployment(), "version", m.GetVersion(), "epoch", m.GetEpoch())
		if in.spread != nil {
			a.spreads[in.id] = in
		}
		a.start(c, in)
	}
}

// A Guest is an instance that runs already and spreads over the device from that of its owner.
type Guest struct {
	Load  *wire.LoadModel
	Owner spec.DeviceID
}

// host has the device hold memory that another's instance uses already.
func (t *table) host(m *wire.LoadModel, owner *actor.PID) {
	id := spec.InstanceID(m.GetInstance())
	t.guests[bookingOf(id, owner)] = &inst{load: &wire.LoadModel{Instance: m.GetInstance(), Deployment: m.GetDeployment(), Epoch: m.GetEpoch(), MemoryBytes: m.GetMemoryBytes()},
		id: id, epoch: m.GetEpoch(), state: wire.InstanceState_INSTANCE_STATE_LOADING, guest: &guest{owner: owner, settled: true}}
}

// adopt has the device hold an instance whose engine runs: its memory is taken already, so nobody asks
// whether there is any.
func (t *table) adopt(m *wire.LoadModel, now time.Time) (*inst, error) {
	id := spec.InstanceID(m.GetInstance())
	if id == "" || len(id) > maxName || m.GetDeployment() == "" || len(m.GetDeployment()) > maxName {
		return nil, spec.Errorf(spec.CodeInvalidRequest, "its placement cannot be read")
	}
	if t.instances[id] != nil {
		return nil, spec.Errorf(spec.CodeConflict, "the device holds the instance already")
	}
	if err := t.seen.admit(id, m.GetEpoch()); err != nil {
		return nil, err
	}
	t.runs++
	in := &inst{load: m, able: t.ableOf(m), id: id, run: t.runs, epoch: m.GetEpoch(), state: wire.InstanceState_INSTANCE_STATE_LOADING,
		context: m.GetContext(), slots: int(m.GetSlots())}
	in.asked, in.usedAt = now, now
	if len(m.GetDevices()) > 0 { // the others hold its memory: see host
		in.spread = newSpread(t.device.ID, m)
		in.spread.at, in.spread.own = len(in.spread.order), true
	}
	t.instances[id] = in
	return in, nil
}
