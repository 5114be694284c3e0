package quota

import (
	"math"
	"time"
)

// A limit is a leaky bucket kept as one time: when it will be empty again, that
// is, when all of the limit can be spent at once. It holds perMinute requests.
type limit struct {
	perMinute uint32
	empty     time.Time
}

// interval is how long one request takes to leak out.
func (l *limit) interval() time.Duration { return max(time.Minute/time.Duration(l.perMinute), 1) }

// rescale changes the rate; what is in the bucket stays, counted in requests.
func (l *limit) rescale(now time.Time, perMinute uint32) {
	if l.perMinute == perMinute {
		return
	}
	held := l.held(now)
	l.perMinute = perMinute
	l.empty = now.Add(time.Duration(math.Ceil(min(held, float64(perMinute)) * float64(l.interval()))))
}

// held is how many requests are in the bucket, fractions included.
func (l *limit) held(now time.Time) float64 {
	if l.perMinute == 0 || !l.empty.After(now) {
		return 0
	}
	return float64(l.empty.Sub(now)) / float64(l.interval())
}

// room is how many requests fit in now.
func (l *limit) room(now time.Time) uint32 {
	return uint32(max(0, math.Floor(float64(l.perMinute)-l.held(now)+1e-9)))
}

// take puts up to want requests in, after back have been taken out again, and
// tells how many; where it is none, also how long until one fits.
func (l *limit) take(now time.Time, want, back uint32) (granted uint32, wait time.Duration) {
	if l.empty.Before(now) {
		l.empty = now
	}
	back = min(back, l.perMinute) // nobody can have been given more
	if l.empty = l.empty.Add(-time.Duration(back) * l.interval()); l.empty.Before(now) {
		l.empty = now
	}
	granted = min(want, l.room(now))
	l.empty = l.empty.Add(time.Duration(granted) * l.interval())
	if granted == 0 && want > 0 {
		wait = l.empty.Sub(now) - time.Duration(l.perMinute-1)*l.interval()
	}
	return granted, max(wait, 0)
}
