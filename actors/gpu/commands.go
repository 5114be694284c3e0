package gpu

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// What an id may be, so that a digest has room for it.
const maxName = 128

// An outcome is what the actor has to do after a command.
type outcome struct {
	placed *inst // tell its actor that it has a newer placement
	start  *inst // spawn its actor
	stop   *inst // tell its actor to stop; nil, or one whose actor runs
}

// add has the device hold one more instance, or confirms that it does. Memory is
// reserved before anything starts.
func (t *table) add(m *wire.LoadModel, check func(*wire.LoadModel) error) (outcome, error) {
	id := spec.InstanceID(m.GetInstance())
	if id == "" || len(id) > maxName || m.GetDeployment() == "" || len(m.GetDeployment()) > maxName {
		return outcome{}, spec.Errorf(spec.CodeInvalidRequest, "A LoadModel needs an instance and a deployment of at most %d bytes each.", maxName)
	}
	if err := t.seen.admit(id, m.GetEpoch()); err != nil {
		return outcome{}, err
	}
	if in := t.instances[id]; in != nil {
		before := in.epoch
		if err := in.confirm(m); err != nil || in.epoch == before {
			return outcome{}, err
		}
		return outcome{placed: in}, nil
	}
	if t.draining {
		return outcome{}, spec.Errorf(spec.CodeDraining, "Device %s is draining.", t.device.ID)
	}
	if t.quarantined() {
		return outcome{}, &spec.Error{Code: spec.CodeEngineUnavailable, Message: fmt.Sprintf("Device %s takes no instances: %s.", t.device.ID, t.fault.Text),
			Hint: "See OPERATIONS.md, \"A device in quarantine\""}
	}
	if err := check(m); err != nil {
		t.keepRefused(m, err)
		return outcome{}, err
	}
	wait, err := t.room(m)
	if err != nil {
		return outcome{}, err
	}
	t.runs++
	in := &inst{load: m, able: t.ableOf(m), id: id, run: t.runs, epoch: m.GetEpoch(), state: wire.InstanceState_INSTANCE_STATE_LOADING,
		waiting: wait, context: m.GetContext(), slots: int(m.GetSlots())}
	t.instances[id] = in
	if len(m.GetDevices()) > 0 { // it takes its memory here when its turn comes
		in.spread, in.waiting = newSpread(t.device.ID, m), false
	}
	if m.GetOnDemand() {
		in.state, in.waiting = wire.InstanceState_INSTANCE_STATE_COLD, false
	}
	if !t.fits() {
		delete(t.instances, id)
		return outcome{}, spec.Errorf(spec.CodeOutOfMemory, "Device %s runs %d instances, which is as many as it may hold.", t.device.ID, len(t.instances))
	}
	delete(t.gone, id)
	if in.waiting || m.GetOnDemand() {
		return outcome{}, nil
	}
	return outcome{start: in}, nil
}

// keepRefused keeps an instance that cannot run here as failed, so that whoever looks
// at the cluster's status reads why, and not only the log of the leader.
func (t *table) keepRefused(m *wire.LoadModel, why error) {
	reason := why.Error()
	if public := (*spec.Error)(nil); errors.As(why, &public) {
		reason = public.Message
	}
	in := &inst{load: m, able: t.ableOf(m), id: spec.InstanceID(m.GetInstance()), epoch: m.GetEpoch(), state: wire.InstanceState_INSTANCE_STATE_FAILED,
		reason: clip(reason, maxReason), spent: true, unstarted: true}
	t.instances[in.id] = in
	if !t.fits() {
		delete(t.instances, in.id)
		return
	}
	delete(t.gone, in.id)
}

// confirm answers a LoadModel for what is held already. A newer placement of what
// runs keeps it running.
func (in *inst) confirm(m *wire.LoadModel) error {
	if m.GetEpoch() == in.epoch {
		return nil
	}
	if in.state == wire.InstanceState_INSTANCE_STATE_DRAINING || in.state == wire.InstanceState_INSTANCE_STATE_FAILED ||
		m.GetDeployment() != in.load.GetDeployment() || m.GetVersion() != in.load.GetVersion() {
		return spec.Errorf(spec.CodeConflict, "Instance %s of epoch %d is still there; it has to be unloaded first.", in.id, in.epoch)
	}
	in.epoch = m.GetEpoch()
	in.load = proto.CloneOf(in.load) // the actor has the old one, and goroutines of its own read it
	in.load.Epoch = in.epoch
	return nil
}

// room tells whether the instance has to wait for memory, or that there is none.
func (t *table) room(m *wire.LoadModel) (wait bool, err error) {
	need, free, promised := m.GetMemoryBytes(), t.free(), t.promised()
	if need == 0 {
		return false, nil
	}
	_, leaving := t.reserved()
	leaving += t.unloadable()
	switch {
	case m.GetOnDemand() && need <= free+leaving: // it has room as long as others that are loaded on demand are not
		return false, nil
	case m.GetOnDemand():
	case promised == 0 && need <= free:
		return false, nil
	case leaving > 0 && promised+need <= free+leaving:
		return true, nil
	}
	return false, spec.Errorf(spec.CodeOutOfMemory, "Device %s has %d bytes free of %d; instance %s needs %d.",
		t.device.ID, free+leaving-min(free+leaving, promised), t.device.MemoryTotal, m.GetInstance(), need)
}

// remove has an instance leave: at once, or when its requests have ended. One that
// is not there is gone already.
func (t *table) remove(m *wire.UnloadModel) (outcome, error) {
	id := spec.InstanceID(m.GetInstance())
	if id == "" || len(id) > maxName {
		return outcome{}, spec.Errorf(spec.CodeInvalidRequest, "An UnloadModel needs an instance of at most %d bytes.", maxName)
	}
	if err := t.seen.admit(id, m.GetEpoch()); err != nil {
		return outcome{}, err
	}
	in := t.instances[id]
	if in == nil || in.leaving {
		return outcome{}, nil
	}
	if in.actorless() {
		delete(t.instances, id)
		t.bidFarewell(in)
		return outcome{}, nil
	}
	in.state, in.reason = wire.InstanceState_INSTANCE_STATE_DRAINING, clip(m.GetReason(), maxReason)
	in.waiting = false
	if m.GetDrain() && in.leases > 0 && in.engine != nil {
		return outcome{}, nil
	}
	in.leaving = true
	if in.sleeping { // its actor has been told
		return outcome{}, nil
	}
	return outcome{stop: in}, nil
}
