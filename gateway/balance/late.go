package balance

import (
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/fair"
)

// A standing is what this gateway has left with an instance for its requests that wait.
type standing struct {
	grants  bool      // the instance's actor knows reservations
	paced   bool      // and takes no more in than its backlog allows
	told    int       // requests that it was told of; 0: there is no reservation
	highest int       // priority among them
	renewed time.Time // when
	asked   time.Time // since when it has been asked for a place and has granted none
}

// mute tells whether the instance has been asked for longer than a grant and the way of
// reservations to it may take: where it then seems to have room, it is asked as if it
// knew no reservations.
func (s *standing) mute(now time.Time) bool { return s.told > 0 && now.Sub(s.asked) > grantWaits }

const (
	// mostReserved is with how many instances reservations are left at a time, and
	// mostTold the most requests that one is told of.
	mostReserved = 12
	mostTold     = 64
	// choosesAmong is how many of the first in the queue a granted place is given to the
	// best of, as long as the first has not waited for headWaits.
	choosesAmong = 8
	headWaits    = time.Second
	// grantWaits is how long an instance that seems to have room may leave a reservation
	// without a grant.
	grantWaits = 5 * time.Second
)

// Granted takes in a place that an actor of the node keeps for this gateway. It goes to
// a request that waits, or back.
func (t *Table) Granted(node spec.NodeID, l spec.Lease) {
	t.mu.Lock()
	defer t.mu.Unlock()
	in := t.mu.instances[l.Instance]
	if in == nil || in.Node != node {
		return // it is gone, and what it kept with it; or not the node's to give
	}
	p, now := t.poolOf(in), t.cfg.Now()
	in.learnAnswer(&l.Load, now)
	in.asked = now
	defer t.forgetLocked()
	w := p.suited(t.frontLocked(p), in, -1, now)
	if w == nil {
		t.reserveAtLocked(p, in, t.frontLocked(p), l.ID, now)
		return
	}
	read := in.read
	g := t.grantLocked(in, w.q, now)
	in.since--
	in.read = read // what the actor has told since it kept the place has it as taken
	t.takenLocked(p, w)
	waits := t.reservationLocked(p, in, t.frontLocked(p), now)
	g.Lease, g.Waits = l.ID, &waits
	w.serve(g, nil)
}

// frontLocked is those who wait that reservations and grants go by: the first ones, or
// more where some may go to fewer instances than others.
func (t *Table) frontLocked(p *pool) []*fair.Item[*waiter] {
	if p.picky > 0 {
		return t.orderLocked(p, mostTold)
	}
	return t.orderLocked(p, choosesAmong)
}

// suited is the one of those who wait that a place at the instance is for: of the first
// ones those of that band, below 0 of the band of the first that may go there; of them
// that whose prompt it has most of, or the first; nil: none may.
func (p *pool) suited(front []*fair.Item[*waiter], in *Instance, band int, now time.Time) *waiter {
	var best *waiter
	most, seen, same := 0.0, 0, p.same()
	for _, it := range front {
		w := it.Value
		if band >= 0 && w.q.Priority.Band() != band || !p.serves(in, w.q, same, now) {
			continue
		}
		cached := in.cached(w.q)
		if best == nil {
			best, most, band = w, cached, w.q.Priority.Band()
			if now.Sub(w.q.came) > headWaits {
				return w
			}
		} else if cached > most {
			best, most = w, cached
		}
		if seen++; seen >= choosesAmong {
			break
		}
	}
	return best
}

// serves tells whether a place at the instance is for the request; same is that there is
// one version of its deployment alone.
func (p *pool) serves(in *Instance, q *Query, same bool, now time.Time) bool {
	if !in.ready(q, now) || excluded(in, q) || in.brings(q, now) || in.shared(q) {
		return false
	}
	if same {
		return true
	}
	version, s := servable(p.list, q, now)
	return s == Full && version == in.Version
}

// same tells whether the pool's instances are of one version.
func (p *pool) same() bool {
	for _, in := range p.list {
		if in.Version != p.list[0].Version {
			return false
		}
	}
	return true
}

// wanting is of those who wait, and for whom a place at the instance would do, how many
// there are of each band, up to mostTold in all, and when the first of them came.
func (p *pool) wanting(front []*fair.Item[*waiter], in *Instance, now time.Time) (bands spec.Bands, oldest time.Time) {
	same := p.same()
	if p.picky == 0 { // what suits one suits all
		if len(front) == 0 || !p.serves(in, front[0].Value.q, same, now) {
			return bands, oldest
		}
		left := mostTold
		for at := fair.Critical; at >= fair.Low; at-- {
			n := min(p.queue.Load(at).Count, left)
			bands[at.Band()] = uint8(n)
			left -= n
		}
		return bands, p.queue.Oldest()
	}
	for _, it := range front {
		if !p.serves(in, it.Value.q, same, now) {
			continue
		}
		bands[it.Priority.Band()]++
		if oldest.IsZero() || it.Enqueued.Before(oldest) {
			oldest = it.Enqueued
		}
	}
	return bands, oldest
}

// reserveLocked leaves with the instances what those who wait need there: anew where
// many more wait than was told, or one of higher priority, and now and then so that it
// is not taken for dead.
func (t *Table) reserveLocked(p *pool) {
	held := p.reserved()
	if t.cfg.Reserve == nil || p.queue.Len() == 0 && held == 0 {
		return
	}
	now, front := t.cfg.Now(), t.frontLocked(p)
	defer t.forgetLocked()
	for i := range p.list {
		in := p.list[(i+p.turn)%len(p.list)]
		if in.told == 0 && (!in.grants || held >= mostReserved) {
			continue
		}
		bands, _ := p.wanting(front, in, now)
		n := bands.Sum()
		switch {
		case in.told == 0 && n == 0:
			continue
		case in.told == 0:
			held++
		case n == 0, bands.Next(0) > in.highest, n >= 2*in.told && in.told < mostTold/2, now.Sub(in.renewed) >= spec.ReservationRenewal:
		default:
			continue
		}
		t.reserveAtLocked(p, in, front, 0, now)
	}
	p.turn++
}

func (p *pool) reserved() int {
	n := 0
	for _, in := range p.list {
		if in.told > 0 {
			n++
		}
	}
	return n
}

// reserveAtLocked tells the instance how many wait for it now, and gives back the lease;
// 0: none.
func (t *Table) reserveAtLocked(p *pool, in *Instance, front []*fair.Item[*waiter], lease uint64, now time.Time) {
	if t.cfg.Reserve == nil {
		return
	}
	r := t.reservationLocked(p, in, front, now)
	r.Declined = lease
	t.cfg.Reserve(in.Target, r)
}

// reservationLocked is what there is to tell the instance, which takes it as told.
func (t *Table) reservationLocked(p *pool, in *Instance, front []*fair.Item[*waiter], now time.Time) spec.Reservation {
	if in.told == 0 {
		in.asked = now
	}
	bands, oldest := p.wanting(front, in, now)
	in.told, in.highest, in.renewed = bands.Sum(), bands.Next(0), now
	t.mu.told++
	r := spec.Reservation{Instance: in.Target.Instance, Run: t.run, Seq: t.mu.told, Count: in.told, Bands: bands}
	if in.told == 0 {
		return r
	}
	r.Priority, r.Oldest = in.highest, now.Sub(oldest)
	w := p.suited(front, in, in.highest, now)
	if w == nil { // who may go there comes after those that were looked at
		return r
	}
	r.Tenant, r.Age, r.Cost = markOf(w.q.Tenant), now.Sub(w.q.came), int(in.uncached(w.q))
	return r
}

// markOf names a tenant to those who only tell tenants apart.
func markOf(tenant string) uint32 {
	const offset, prime = 2166136261, 16777619 // FNV-1a
	h := uint32(offset)
	for i := range len(tenant) {
		h = (h ^ uint32(tenant[i])) * prime
	}
	return h
}

// Bind tells the call which place it takes, and what else waits for one there. It is
// called before the call is sent; the place of a grant that is given back without goes
// back to its actor.
func (g *Grant) Bind(c *spec.Call) {
	c.Lease, c.Waits = g.Lease, g.Waits
	g.Lease, g.Waits = 0, nil
}

// unboundLocked gives back the kept place of a request that was not sent.
func (t *Table) unboundLocked(g *Grant) {
	p := t.poolOf(g.in)
	if g.Lease == 0 || g.in.gone || p == nil {
		return
	}
	t.reserveAtLocked(p, g.in, t.frontLocked(p), g.Lease, t.cfg.Now())
	g.Lease = 0
}

// backlogOf is what the load tells, within reason.
func backlogOf(l *spec.Load) time.Duration {
	if !(l.BacklogSeconds > 0) { // also what is no number
		return 0
	}
	return time.Duration(min(l.BacklogSeconds, time.Hour.Seconds()) * float64(time.Second))
}
