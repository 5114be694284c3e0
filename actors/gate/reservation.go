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
	first time.Time // when the first of all that wait there did
	past  uint64    // run of the gateway's that this one has taken the place of
	heard time.Time
	out   int           // leases that are out to the gateway
	trip  time.Duration // there and back, as grants have shown; 0: not known
	shown time.Time     // when they last did
}

// maxGateways is how many gateways' reservations one instance keeps.
const maxGateways = 256

// Reserve takes in what a gateway tells, or what came with a request that binds a
// lease or an ordinary one. What is older than what is known changes nothing but
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
	} else if !have.before(r, now) {
		return
	} else if have.Run != r.Run {
		have.past = have.Run
	}
	if have.Count == 0 && r.Count > 0 {
		g.shares.back(r.Tenant, g.waiting)
	}
	have.Reservation, have.heard, have.came, have.first = *r, now, now.Add(-r.Age), now.Add(-max(r.Age, r.Oldest))
	if r.Bands.Sum() != r.Count {
		have.Bands = spec.Bands{}
	}
}

// before tells whether what is told now is newer than what is known. The numbers of two runs say
// nothing of that: the clock may have been set back between them. Of older builds those
// that have long been silent may have begun anew.
func (r *reservation) before(told *spec.Reservation, now time.Time) bool {
	switch {
	case told.Run == r.Run && told.Run != 0:
		return told.Seq > r.Seq
	case told.Run == 0:
		return told.Seq > r.Seq || now.Sub(r.heard) > spec.ReservationLife
	}
	return told.Run != r.past // what is on its way still of a process that has ended
}

// next is the priority of the next request that would be granted a place; below 0: there is none.
func (r *reservation) next() int {
	switch {
	case r.Count <= r.out:
		return -1
	case r.Bands == spec.Bands{}:
		return r.Priority
	}
	return r.Bands.Next(r.out)
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
// the tenant that has had least there, of the request that has waited longest. One place
// in spec.AgedEvery is for the gateway whose requests are of lower priority, and one of
// them has waited longest and for too long; aged: this one is.
func (g *Gate) first(now time.Time) (best *reservation, aged bool) {
	top := -1
	for i := range g.waiting {
		r := &g.waiting[i]
		p := r.next()
		if p < 0 || p < top || now.Sub(r.heard) > spec.ReservationLife {
			continue
		}
		if p > top || g.before(r, best) {
			best, top = r, p
		}
	}
	if best == nil || g.since < spec.AgedEvery-1 {
		return best, false
	}
	var oldest *reservation
	for i := range g.waiting {
		r := &g.waiting[i]
		if p := r.next(); p < 0 || p >= top || now.Sub(r.heard) > spec.ReservationLife || now.Sub(r.first) <= spec.AgedAfter {
			continue
		}
		if oldest == nil || r.first.Before(oldest.first) {
			oldest = r
		}
	}
	if oldest != nil {
		return oldest, true
	}
	return best, false
}

// before tells which of two of the same priority goes first.
func (g *Gate) before(a, b *reservation) bool {
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
