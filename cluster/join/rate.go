package join

import (
	"sync"
	"time"
)

// A rate lets so many events a second pass, and a burst at once.
type rate struct {
	perSecond, burst float64
	mu               struct {
		sync.Mutex
		left float64
		at   time.Time
	}
}

func newRate(perSecond, burst float64) *rate {
	r := &rate{perSecond: perSecond, burst: burst}
	r.mu.left = burst
	return r
}

func (r *rate) take(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if passed := now.Sub(r.mu.at).Seconds(); !r.mu.at.IsZero() && passed > 0 {
		r.mu.left = min(r.burst, r.mu.left+passed*r.perSecond)
	}
	r.mu.at = now
	if r.mu.left < 1 {
		return false
	}
	r.mu.left--
	return true
}
