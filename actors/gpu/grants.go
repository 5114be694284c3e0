package gpu

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/lotabots/lotabots/actors/gate"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// facts are what the instance's gate goes by.
func (t *table) facts(in *inst) gate.Facts {
	tps := in.busy.PrefillTPS // measured by the engine itself, or by what first bytes show
	if tps <= 0 {
		tps = in.pace.TPS()
	}
	return gate.Facts{Slots: t.slots(in), Running: in.leases, Unread: in.unread, PrefillTPS: tps,
		KVUse: in.busy.KVUse, KVTokens: in.slots * int(in.context)}
}

// hears takes in what a request tells of its gateway, and whether its place was kept.
func (in *inst) hears(m *Admit, now time.Time) (kept bool) {
	in.passes(now)
	kept = m.Kept != 0 && in.gate.Bind(m.Waits.Gateway, m.Kept, now)
	in.gate.Reserve(&m.Waits, now)
	return kept
}

// waits takes in what waits at a gateway; nil: for an instance that is not here.
func (t *table) waits(m *Waits, now time.Time) *inst {
	in := t.instances[m.Instance]
	if in != nil {
		in.passes(now) // a place may be declined
		in.gate.Reserve(&m.Reservation, now)
	}
	return in
}

// next grants one place of the instance's.
func (t *table) next(in *inst, now time.Time) (spec.Lease, bool) {
	if t.draining || t.quarantined() || in.engine == nil || in.state != wire.InstanceState_INSTANCE_STATE_READY || in.yielding || in.leaving {
		return spec.Lease{}, false
	}
	in.passes(now)
	f := t.facts(in)
	return in.gate.Next(&f, now)
}

// due is when the instance's gate is to be looked at though nothing happens; zero: not.
func (t *table) due(in *inst, now time.Time) time.Time {
	f := t.facts(in)
	due, any := in.gate.Due()
	if opens, waits := in.gate.Opens(&f, now); waits && (!any || opens.Before(due)) {
		return opens
	}
	return due
}

// grant gives the instance's places to gateways whose requests wait, and ends those
// that were not taken in time. nil is no instance.
func (a *Actor) grant(c actor.Context, in *inst) {
	if a.cfg.Grant == nil || a.closing || in == nil {
		return
	}
	now := a.cfg.Now()
	in.passes(now)
	if n := in.gate.Expire(now); n > 0 {
		a.cfg.Metrics.grants.WithLabelValues(string(a.cfg.Device.ID), "expired").Add(float64(n))
		a.changed(c)
	}
	for {
		l, ok := a.table.next(in, now)
		if !ok {
			break
		}
		l.Load = a.load(in)
		a.cfg.Metrics.grants.WithLabelValues(string(a.cfg.Device.ID), "granted").Inc()
		a.cfg.Grant(l)
		a.changed(c)
	}
	a.pumpAt(c, a.table.due(in, now), now)
}

// pump is grant for all instances.
func (a *Actor) pump(c actor.Context) {
	if a.pumping != nil {
		a.pumping.Stop()
		a.pumping = nil
	}
	for _, in := range a.table.instances {
		a.grant(c, in)
	}
}

// pumpAt has pump called then, or before.
func (a *Actor) pumpAt(c actor.Context, due, now time.Time) {
	if due.IsZero() || a.pumping != nil && !due.Before(a.pumps) {
		return
	}
	if a.pumping != nil {
		a.pumping.Stop()
	}
	root, self := c.ActorSystem().Root, c.Self()
	a.pumps = due
	a.pumping = time.AfterFunc(max(due.Sub(now), 0), func() { root.Send(self, &pump{}) })
}
