package balance

import (
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
)

// wakeWait is how long an instance that was asked to load has until its digest
// shows that it does; then another request asks again.
const wakeWait = 2 * time.Second

// rouse chooses, where no instance is ready and none is being loaded, the one that
// the request has loaded: of the version in the state, or the newest that is placed
// where that is not; in the gateway's own region; the soonest loaded; nil: none is
// to be, or one that has been asked is given time. It is a pure function.
func rouse(list []*Instance, q *Query, now time.Time) *Instance {
	var best *Instance
	for _, in := range list {
		if !in.reachable(q) || excluded(in, q) {
			continue
		}
		if in.State == wire.InstanceState_INSTANCE_STATE_LOADING || now.Sub(in.waking) < wakeWait {
			return nil
		}
		if in.State == wire.InstanceState_INSTANCE_STATE_COLD && !in.shunned && (best == nil || in.sooner(best, q)) {
			best = in
		}
	}
	return best
}

// reachable tells whether a request may be sent to where the instance is.
func (in *Instance) reachable(q *Query) bool {
	return !in.draining && !in.gone && in.node.alive && !in.node.Draining && allowedRegion(in.node.Region, q.Regions)
}

func (in *Instance) sooner(o *Instance, q *Query) bool {
	if a, b := in.Version == q.Version, o.Version == q.Version; a != b {
		return a
	}
	if a, b := in.Version == q.Canary, o.Version == q.Canary; a != b {
		return b
	}
	switch a, b := in.place(q), o.place(q); {
	case in.Version != o.Version:
		return in.Version > o.Version
	case a != b:
		return a < b
	case in.loadSeconds != o.loadSeconds:
		return in.loadSeconds < o.loadSeconds
	}
	return in.Target.Instance < o.Target.Instance
}

// warming tells whether the instance will serve as soon as it is loaded.
func (in *Instance) warming(q *Query) bool {
	cold := in.State == wire.InstanceState_INSTANCE_STATE_COLD || in.State == wire.InstanceState_INSTANCE_STATE_LOADING
	return cold && in.reachable(q)
}
