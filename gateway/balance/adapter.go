package balance

import (
	"slices"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// adapterSeconds is what an instance that has the request's adapter saves.
const adapterSeconds = 2.0

// Bounds of how long an instance that loads an adapter is not asked for it again: the
// digest that tells of the adapter may be lost, or have had no room for it.
const (
	leastBring = 250 * time.Millisecond
	mostBring  = 2 * time.Second
)

// A brought is an adapter that an instance loads because it was asked for.
type brought struct {
	adapter uint32
	until   time.Time // when it may be asked for again
}

// bring notes that the instance loads the adapter, which it has not, unless a digest
// that is younger than the refusal says otherwise.
func (in *Instance) bring(adapter uint32, r *spec.Rejection, now time.Time) {
	if r.Load == nil || r.Load.Seq >= in.seq {
		in.adapters = slices.DeleteFunc(slices.Clone(in.adapters), func(a uint32) bool { return a == adapter })
	}
	in.bringing = slices.DeleteFunc(in.bringing, func(b brought) bool { return b.adapter == adapter || !now.Before(b.until) })
	in.bringing = append(in.bringing, brought{adapter, now.Add(min(max(r.RetryAfter, leastBring), mostBring))})
}

// brings tells whether the request has to wait for its adapter there.
func (in *Instance) brings(q *Query, now time.Time) bool {
	if q.Adapter == 0 || len(in.bringing) == 0 || slices.Contains(in.adapters, q.Adapter) {
		return false
	}
	for _, b := range in.bringing {
		if b.adapter == q.Adapter && now.Before(b.until) {
			return true
		}
	}
	return false
}

// stand is servable, with Bringing where an instance that would serve loads the
// request's adapter.
func stand(list []*Instance, q *Query, now time.Time) (version uint64, s Standing) {
	version, s = servable(list, q, now)
	if s != Full || q.Adapter == 0 {
		return version, s
	}
	for _, in := range list {
		if in.Version == version && in.ready(q, now) && !excluded(in, q) && in.brings(q, now) {
			return version, Bringing
		}
	}
	return version, s
}
