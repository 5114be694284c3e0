package reconcile

import (
	"maps"
	"time"

	"github.com/lotabots/lotabots/cluster/placement"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// memory is what a plan needs and no single look shows.
type memory struct {
	down     map[spec.DeviceID]time.Time
	draining map[spec.DeviceID]time.Time
	usable   map[spec.DeviceID]time.Time
	failures map[placement.FailureKey]placement.Failure
	counted  map[spec.InstanceID]uint64 // epochs of failed instances that are in failures
}

func newMemory() *memory {
	return &memory{down: map[spec.DeviceID]time.Time{}, draining: map[spec.DeviceID]time.Time{}, usable: map[spec.DeviceID]time.Time{},
		failures: map[placement.FailureKey]placement.Failure{}, counted: map[spec.InstanceID]uint64{}}
}

const (
	firstRetry = 5 * time.Second // a version returns to a device on which it failed once
	lastRetry  = 10 * time.Minute
	proven     = time.Minute // after its return, by which time one that serves has its failures forgotten
)

// recall fills in what o lacks. Times that o has already are kept.
func (m *memory) recall(w placement.Wanted, o *placement.Observed, refused map[spec.InstanceID]string) {
	down, draining := placement.Troubled(w, *o)
	since(m.down, down, o.Now)
	since(m.draining, draining, o.Now)
	since(m.usable, placement.Usable(w, *o), o.Now)
	o.Down, o.Draining, o.Usable = merged(m.down, o.Down), merged(m.draining, o.Draining), merged(m.usable, o.Usable)
	o.Refused = refused
	m.countFailures(w, o)
	o.Failures = maps.Clone(m.failures)
}

// countFailures notes each failed instance once, and forgets versions that are no more
// and those that serve again. What fails while its version is kept off the device was
// there before: it is of the same trouble, and no return has failed.
func (m *memory) countFailures(w placement.Wanted, o *placement.Observed) {
	failed, serving := map[string]bool{}, map[placement.FailureKey]bool{}
	for _, d := range o.Devices {
		for _, i := range d.Load.GetInstances() {
			if i.State == wire.InstanceState_INSTANCE_STATE_FAILED {
				failed[i.Instance] = true
			}
			if i.State == wire.InstanceState_INSTANCE_STATE_READY && o.Alive[d.Node] {
				serving[placement.FailureKey{Deployment: i.Deployment, Version: i.Version, Device: spec.DeviceID(d.Load.Device)}] = true
			}
		}
	}
	placed := map[spec.InstanceID]bool{}
	for _, p := range w.Placements {
		id := spec.InstanceID(p.Instance)
		placed[id] = true
		if !failed[p.Instance] && o.Refused[id] == "" {
			delete(m.counted, id)
			continue
		}
		if _, known := m.counted[id]; known {
			continue
		}
		m.counted[id] = p.Epoch
		key := placement.FailureKey{Deployment: p.Deployment, Version: p.Version, Device: spec.DeviceID(p.Device)}
		if o.Now.Before(m.failures[key].Until) {
			continue
		}
		n := m.failures[key].Count + 1
		m.failures[key] = placement.Failure{Count: n, Until: o.Now.Add(doubled(firstRetry, lastRetry, n-1))}
	}
	maps.DeleteFunc(m.counted, func(id spec.InstanceID, _ uint64) bool { return !placed[id] })
	current := map[string]*wire.Deployment{}
	for _, d := range w.Deployments {
		current[d.Name] = d
	}
	maps.DeleteFunc(m.failures, func(k placement.FailureKey, f placement.Failure) bool {
		return !current[k.Deployment].InForce(k.Version) || o.Now.Sub(f.Until) > 6*lastRetry || serving[k] && o.Now.Sub(f.Until) > proven
	})
}

// since keeps in known when each of now's devices got into its state.
func since(known map[spec.DeviceID]time.Time, now map[spec.DeviceID]bool, at time.Time) {
	maps.DeleteFunc(known, func(id spec.DeviceID, _ time.Time) bool { return !now[id] })
	for id := range now {
		if _, ok := known[id]; !ok {
			known[id] = at
		}
	}
}

func merged(mine, given map[spec.DeviceID]time.Time) map[spec.DeviceID]time.Time {
	out := maps.Clone(mine)
	maps.Copy(out, given)
	return out
}

// doubled is first, doubled n times, at most last.
func doubled(first, last time.Duration, n int) time.Duration {
	for ; n > 0 && first < last; n-- {
		first *= 2
	}
	return min(first, last)
}
