package gpu

import (
	"math"
	"time"
)

// A rate is how much of something there is per second, of late: what is longer ago counts
// for less.
type rate struct {
	sum float64
	of  time.Time
}

// rateSpan is the time by which what was noted counts for a third.
const rateSpan = 20 * time.Second

func (r *rate) note(n int, now time.Time) {
	r.sum = r.left(now) + float64(max(n, 0))
	r.of = now
}

func (r *rate) left(now time.Time) float64 {
	return r.sum * math.Exp(-max(now.Sub(r.of), 0).Seconds()/rateSpan.Seconds())
}

// at is the rate now; what is next to nothing is nothing.
func (r *rate) at(now time.Time) float64 {
	const least = 0.01
	if tps := r.left(now) / rateSpan.Seconds(); tps >= least {
		return tps
	}
	return 0
}
