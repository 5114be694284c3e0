package fair

import "time"

// The usual rules.
const (
	Patience = 5 * time.Second
	Every    = 16
)

// Rules of a queue.
type Rules struct {
	// Patience is how long the oldest of a band waits until the band is given a place now
	// and then though a higher one has not been served; 0: as the constant.
	Patience time.Duration
	// Every says how often that is: one place in so many; 0: as the constant.
	Every int
}

// An Item is one request that waits. Its owner fills in what is exported, and changes
// none of it while it is in a queue, of which it is in one at most.
type Item[T any] struct {
	Tenant   string
	Priority Priority
	Enqueued time.Time // when it first came, which is kept where it comes back
	Deadline time.Time // zero: none
	Cost     float64   // what it is expected to take, see Cost; Push makes it at least 1
	Value    T

	lane         *lane[T] // nil: it is in no queue
	seq          uint64   // breaks ties of Enqueued
	prev, next   *Item[T] // of its tenant
	older, newer *Item[T] // in its band
	seen         bool     // by First, while that looks ahead
}

// Queued tells whether the item is in a queue.
func (it *Item[T]) Queued() bool { return it.lane != nil }

func (it *Item[T]) before(other *Item[T]) bool {
	if !it.Enqueued.Equal(other.Enqueued) {
		return it.Enqueued.Before(other.Enqueued)
	}
	return it.seq < other.seq
}

// A Queue holds those who wait for one thing, as the instances of a deployment. It is
// not safe for use by several goroutines. The zero value has the usual rules.
//
// Served next is who is in the highest band that anybody waits in; there, of the tenant
// that has had the least; there, who came first. Two tenants that wait in the same band
// all the time are given the same but for the cost of one request of each. A tenant
// that comes back has the least that any who waits has had, or else what it had: it
// cannot save up.
type Queue[T any] struct {
	rules Rules
	bands [Bands]band[T]
	seq   uint64
	since int // places given since a band below the highest had one
	drain drain
}

// New returns an empty queue.
func New[T any](r Rules) *Queue[T] { return &Queue[T]{rules: r} }

func (q *Queue[T]) patience() time.Duration {
	if q.rules.Patience > 0 {
		return q.rules.Patience
	}
	return Patience
}

func (q *Queue[T]) every() int {
	if q.rules.Every > 0 {
		return q.rules.Every
	}
	return Every
}

// Push has it wait.
func (q *Queue[T]) Push(it *Item[T], now time.Time) {
	if it.lane != nil {
		panic("fair: an item that is in a queue was pushed")
	}
	if !(it.Cost >= 1) { // not a number is less too
		it.Cost = 1
	}
	if it.seq == 0 {
		q.seq++
		it.seq = q.seq
	}
	if q.Len() == 0 {
		q.drain.begin(now)
	}
	q.bands[it.Priority.Band()].push(it)
}

// Take takes it out because it is served: its tenant has had its cost.
func (q *Queue[T]) Take(it *Item[T], now time.Time) {
	b := it.lane.band
	if b == q.highest() {
		q.since = min(q.since+1, q.every())
	} else {
		q.since = 0
	}
	q.drain.note(it.Cost, now)
	it.lane.counter += it.Cost
	b.remove(it)
}

// Back is Push for one that was taken and could not be served after all: its tenant has
// not had its cost.
func (q *Queue[T]) Back(it *Item[T], now time.Time) {
	q.Charge(it.Tenant, it.Priority, -it.Cost)
	q.drain.undo(it.Cost)
	q.Push(it, now)
}

// Remove takes out one who waits no longer. false: it was not in a queue.
func (q *Queue[T]) Remove(it *Item[T]) bool {
	if it.lane == nil {
		return false
	}
	it.lane.band.remove(it)
	return true
}

// Charge corrects what a tenant has had in a band, once what a request that was taken
// really took is known: units are that less its Cost.
func (q *Queue[T]) Charge(tenant string, p Priority, units float64) {
	q.bands[p.Band()].charge(tenant, units)
}

// Len is how many wait.
func (q *Queue[T]) Len() int {
	n := 0
	for i := range q.bands {
		n += q.bands[i].load.Count
	}
	return n
}

// Oldest is when the first of all who wait came; zero: nobody waits.
func (q *Queue[T]) Oldest() (at time.Time) {
	for i := range q.bands {
		if o := q.bands[i].oldest; o != nil && (at.IsZero() || o.Enqueued.Before(at)) {
			at = o.Enqueued
		}
	}
	return at
}

// A Load is who waits in a band.
type Load struct {
	Count  int
	Cost   float64
	Oldest time.Time // when the first of them came; zero: nobody waits
}

// Load tells who waits with that priority.
func (q *Queue[T]) Load(p Priority) Load {
	b := &q.bands[p.Band()]
	l := b.load
	if b.oldest != nil {
		l.Oldest = b.oldest.Enqueued
	}
	return l
}

func (q *Queue[T]) highest() *band[T] {
	for i := Bands - 1; i >= 0; i-- {
		if q.bands[i].load.Count > 0 {
			return &q.bands[i]
		}
	}
	return nil
}
