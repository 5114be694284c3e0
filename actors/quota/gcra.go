package quota

import (
	"math"
	"math/bits"
	"time"
)

// A rate is a leaky bucket kept as one time: when it will be empty again, that is,
// when all of the limit can be spent at once. It holds perMinute units, and what was
// used without a grant beyond that, as much as leaks out in mostOwed.
type rate struct {
	perMinute uint32
	empty     time.Time
	assumed   time.Time // that empty was when nothing was known of the limit but that others had granted; zero: it was not
	told      time.Time // when another owner last told of it
	lost      time.Time // when it was last assumed to be full
}

// full is how long a full bucket takes to become empty.
const full = time.Minute

// mostOwed is how long a limit is held up, at most, by what was used without a grant: answers
// become as long as they like, and an engine may tell any number.
const mostOwed = 24 * time.Hour

// scaled is n x by / of, rounded up where up is true; what does not fit is the most that does.
func scaled(n, by, of uint64, up bool) uint64 {
	hi, lo := bits.Mul64(n, by)
	if hi >= of {
		return math.MaxUint64
	}
	q, rest := bits.Div64(hi, lo, of)
	if up && rest > 0 {
		q++
	}
	return q
}

// long is how long n units take to leak out, mostOwed at most.
func (r *rate) long(n uint64) time.Duration {
	return time.Duration(min(scaled(n, uint64(full), uint64(r.perMinute), true), uint64(mostOwed)))
}

// rescale changes the rate. What is in the bucket stays, counted in units, as far as it
// fits, and so does what was used beyond it.
func (r *rate) rescale(now time.Time, perMinute uint32) {
	if r.perMinute == perMinute {
		return
	}
	held, over := uint64(0), uint64(0)
	if r.perMinute > 0 && r.empty.After(now) {
		held = scaled(uint64(r.empty.Sub(now)), uint64(r.perMinute), uint64(full), true)
		over = held - min(held, uint64(r.perMinute))
	}
	r.perMinute = perMinute
	r.empty = now.Add(r.long(min(held-over, uint64(perMinute)) + over))
}

// room is how many units fit in now.
func (r *rate) room(now time.Time) uint64 {
	used := max(r.empty.Sub(now), 0)
	if used >= full {
		return 0
	}
	return scaled(uint64(full-used), uint64(r.perMinute), uint64(full), false)
}

// An order is what a gateway asks of a limit.
type order struct {
	want, need uint64 // need: less is of no use
	back, debt uint64 // not used of what was granted, and used without a grant
}

// take puts up to want units in, after those given back have been taken out again and
// those used without a grant put in, and tells how many; where nothing fits, also how
// long until what is needed does.
func (r *rate) take(now time.Time, o order) (granted uint64, wait time.Duration) {
	if r.empty.Before(now) {
		r.empty = now
	}
	if o.back >= o.debt { // nobody can have been given more than the bucket holds
		r.empty = r.empty.Add(-r.long(min(o.back-o.debt, uint64(r.perMinute))))
	} else {
		r.empty = r.empty.Add(r.long(o.debt - o.back))
	}
	if r.empty.Before(now) {
		r.empty = now
	}
	if most := now.Add(mostOwed); r.empty.After(most) {
		r.empty = most
	}
	need := min(max(o.need, 1), uint64(r.perMinute))
	room := r.room(now)
	if room < need {
		return 0, r.empty.Sub(now) + r.long(need) - full
	}
	if o.want == 0 {
		return 0, 0
	}
	granted = min(max(o.want, need), room)
	r.empty = r.empty.Add(r.long(granted))
	return granted, 0
}

// lately is for how long what another owner has told holds good without its saying more:
// it tells of each grant within moments.
const lately = 10 * time.Second

// lose has the bucket be full of what those have granted who have died, ago ago, unless
// they told of it then. It may be called again and again.
func (r *rate) lose(now time.Time, ago time.Duration) {
	died := now.Add(-ago)
	if ago >= full || !r.lost.Before(died.Add(-time.Second)) || r.told.After(died.Add(-lately)) {
		return
	}
	r.lost = died
	r.learn(now, full-ago)
	r.assumed = r.empty
}

// known is how long what is known to be in the bucket takes to leak out. What is assumed is not told to others:
// one of them may be the owner, and know better.
func (r *rate) known(now time.Time) time.Duration {
	if r.assumed.After(now) {
		now = r.assumed
	}
	return max(r.empty.Sub(now), 0)
}

// learn takes over what another owner knew: the fuller bucket counts.
func (r *rate) learn(now time.Time, empty time.Duration) {
	if at := now.Add(min(max(empty, 0), mostOwed)); at.After(r.empty) {
		r.empty = at
	}
}
