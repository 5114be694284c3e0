package balance

import (
	"time"

	"github.com/lotabots/lotabots/gateway/prefix"
)

// Session is the number of a session of a tenant's for a Query. It is never 0.
func Session(tenant, text string) uint64 { return prefix.Number(tenant+"\x00"+text) | 1 }

// stick chooses, for a request of a session, the instance that all requests of that session go to, as long as
// it is there and has a slot, be it not the soonest: of those that are as good a place as the one that was
// picked, by a rendezvous of session and instance. So that when one goes, its sessions alone move, and where the
// session's has refused the request, the pick stays. It is a pure function.
//
// One whose answer may be kept goes, likewise, where that would be looked for next.
func stick(list []*Instance, q *Query, picked *Instance, now time.Time, stale time.Duration) *Instance {
	if q.Session == 0 && q.Kept == 0 || q.refused > 0 {
		return picked
	}
	best, most := picked, uint64(0)
	for _, in := range list {
		if in.Version != picked.Version || !in.ready(q, now) || excluded(in, q) || in.brings(q, now) || in.place(q) > picked.place(q) ||
			now.Sub(in.heard) > stale || in.load() >= max(in.Slots, 1) {
			continue
		}
		draw := prefix.Draw(q.Session, in.number)
		if q.Session == 0 {
			draw = prefix.Draw(q.Kept, in.shelf)
		}
		if draw >= most {
			best, most = in, draw
		}
	}
	return best
}
