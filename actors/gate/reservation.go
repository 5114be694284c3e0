package gate

import (
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A reservation is what a gateway was last heard to say, and what is known of the
// way to it. It outlives what it stood for, so that an old message is known as one.
type reservation struct {
	spec.Reservation
	came  time.Time // when the request that would be first came to its gateway
	heard time.Time
	out   int           // leases that are out to the gateway
	trip  time.Duration // there and back, as grants have shown; 0: not known
	shown time.Time     // when they last did
}

// maxGateways is how many gateways' reservations one instance keeps.
const maxGateways = 256

// Reserve takes in what a gateway tells, or what came with a request that binds a
// lease or an ordinary one. What is older than what is known, and stands yet, changes nothing but
// that a lease it declines is given back.
func (g *Gate) Reserve(r *spec.Reservation, now time.Time) {
	if r.Declined != 0 {
		g.Bind(r.Gateway, r.Declined, now)
	}
	if r.Seq == 0 {
		return
	}
	have := g.of(r.Gateway)
	if have == nil {
		if have = g.place(now); have == nil {
			return
		}
		*have = reservation{}
	} else if r.Seq <= have.Seq && now.Sub(have.heard) <= spec.ReservationLife { // after that it is a gateway that has started anew, with its clock set back
		return
	}
	if have.Count == 0 && r.Count > 0 {
		g.shares.back(r.Tenant, g.waiting)
	}
	have.Reservation, have.heard, have.came = *r, now, now.Add(-r.Age)
}

// of is what is known of the gateway; nil: nothing.
func (g *Gate) of(gateway spec.NodeID) *reservation {
	for i := range g.waiting {
		if g.waiting[i].Gateway == gateway {
			return &g.waiting[i]
		}
	}
	return nil
}

// place is room for one more gateway: that of the one that has been silent for
// longest, if nobody of its waits; nil: there is none.
func (g *Gate) place(now time.Time) *reservation {
	if len(g.waiting) < maxGateways {
		g.waiting = append(g.waiting, reservation{})
		return &g.waiting[len(g.waiting)-1]
	}
	var oldest *reservation
	for i := range g.waiting {
		r := &g.waiting[i]
		if (r.Count == 0 || now.Sub(r.heard) > spec.ReservationLife) && r.out == 0 && (oldest == nil || r.heard.Before(oldest.heard)) {
			oldest = r
		}
	}
	return oldest
}

// first is the reservation that the next place is due to: of the highest priority, of
// the tenant that has had least there, of the request that has waited longest. Now and then
// it is that of the oldest of a lower priority: else gateways where nobody else waits would keep it waiting.
func (g *Gate) first(now time.Time) *reservation {
	var best *reservation
	for i := range g.waiting {
		if r := &g.waiting[i]; r.stands(now) && (best == nil || g.before(r, best)) {
			best = r
		}
	}
	if best == nil || g.since < agedEvery-1 {
		return best
	}
	var old *reservation
	for i := range g.waiting {
		if r := &g.waiting[i]; r.stands(now) && r.Priority < best.Priority && now.Sub(r.came) > agedAfter && (old == nil || r.came.Before(old.came)) {
			old = r
		}
	}
	if old != nil {
		return old
	}
	return best
}

// stands tells whether somebody waits there for a place that it has not been given.
func (r *reservation) stands(now time.Time) bool {
	return r.Count > r.out && now.Sub(r.heard) <= spec.ReservationLife
}

// served counts that r was granted a place.
func (g *Gate) served(r *reservation, now time.Time) {
	g.since = min(g.since+1, agedEvery)
	for i := range g.waiting {
		if o := &g.waiting[i]; o.Priority > r.Priority && o.stands(now) {
			g.since = 0
		}
	}
}

const (
	// agedAfter is how long the oldest of a priority waits until it is granted one place in
	// agedEvery though higher ones wait, as in gateways' queues.
	agedAfter = 5 * time.Second
	agedEvery = 16
)

func (g *Gate) before(a, b *reservation) bool {
	if a.Priority != b.Priority {
		return a.Priority > b.Priority
	}
	if a.Tenant != b.Tenant {
		if x, y := g.shares.of(a.Tenant), g.shares.of(b.Tenant); x != y {
			return x < y
		}
	}
	return a.came.Before(b.came)
}

// learn takes in how long a grant took to be answered: longer ones count at once,
// shorter ones by and by.
func (r *reservation) learn(took time.Duration, now time.Time) {
	r.out--
	took = min(max(took, 0), mostTrip)
	if took > r.trip {
		r.trip += (took - r.trip) / 2
	} else {
		r.trip += (took - r.trip) / 8
	}
	r.shown = now
}

func (r *reservation) roundTrip() time.Duration {
	if r.trip == 0 {
		return firstTrip
	}
	return r.trip
}

// trip is the longest round trip to a gateway that has been granted something of late.
func (g *Gate) trip(now time.Time) time.Duration {
	var longest time.Duration
	for i := range g.waiting {
		if r := &g.waiting[i]; now.Sub(r.shown) < tripAge {
			longest = max(longest, r.trip)
		}
	}
	return longest
}
