package balance

import (
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
)

// crowded is how long the first in a queue has waited for a place when another
// instance is loaded, if there is a cold one; idleFor is how long those that would
// have to make room for it have not been used.
const (
	crowded = 2 * time.Second
	idleFor = 10 // seconds
)

// another chooses, where those that are ready have no room, a cold instance to load as
// well: one at a time, of the version that serves, where its memory is free, or is
// had by what nobody uses; nil: none is to be. It is a pure function.
func another(list []*Instance, q *Query, now time.Time) *Instance {
	version, standing := servable(list, q, now)
	if standing != Full {
		return nil
	}
	var need uint64
	for _, in := range list {
		if in.Version == version && in.State == wire.InstanceState_INSTANCE_STATE_READY {
			need = max(need, in.reserved)
		}
	}
	var best *Instance
	for _, in := range list {
		if in.Version != version || !in.reachable(q) || excluded(in, q) {
			continue
		}
		if in.State == wire.InstanceState_INSTANCE_STATE_LOADING || now.Sub(in.waking) < wakeWait {
			return nil
		}
		if in.State == wire.InstanceState_INSTANCE_STATE_COLD && !in.shunned && need > 0 && in.spare >= need && (best == nil || in.sooner(best, q)) {
			best = in
		}
	}
	return best
}

// spareOf is the memory of a device that is free, or that instances have which are
// loaded on demand and which nobody uses.
func spareOf(d *wire.DeviceLoad) uint64 {
	spare := d.GetMemoryFree()
	for _, i := range d.GetInstances() {
		if i.GetServedSeconds() > idleFor && i.GetIdleSeconds() > idleFor && i.GetRunning() == 0 {
			spare += i.GetMemoryReserved()
		}
	}
	return spare
}

// crowdLocked has another instance loaded where a queue has stood for long. Who would be
// served last carries the message: it is told that the instance loads, and waits again.
func (t *Table) crowdLocked(p *pool) {
	now := t.cfg.Now()
	if p.queue.Len() == 0 || now.Sub(p.queue.Oldest()) < crowded {
		return
	}
	all := t.orderLocked(p, p.queue.Len())
	w := all[len(all)-1].Value
	in := another(p.list, w.q, now)
	if in == nil {
		return
	}
	in.waking = now
	p.queue.Remove(&w.item)
	t.leftLocked(p, w)
	w.serve(t.grantLocked(in, w.q, now), nil)
}

// failedWait is how long a request waits for a deployment whose load has been given
// up: a moment, in which it may be placed elsewhere.
const failedWait = time.Second

// givenUp tells whether an instance has failed and none may become ready.
func (p *pool) givenUp(q *Query) bool {
	failed := false
	for _, in := range p.list {
		switch {
		case in.coming(q):
			return false
		case in.State == wire.InstanceState_INSTANCE_STATE_FAILED && in.Version == q.Version:
			failed = true
		}
	}
	return failed
}
