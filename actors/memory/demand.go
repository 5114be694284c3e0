package memory

import (
	"math"
	"time"
)

// HalfLife is how long it takes until a request counts half in a Demand.
const HalfLife = 10 * time.Minute

// A Demand counts requests, recent ones more than old ones. The zero value has
// seen none. Its owner is the device's table: it is not for concurrent use.
type Demand struct {
	count float64
	last  time.Time
}

// Note counts one more request at now.
func (d *Demand) Note(now time.Time) {
	d.count = d.At(now) + 1
	if now.After(d.last) {
		d.last = now
	}
}

// At is the count as of now, never less than 0. A clock that went backwards lets
// nothing decay.
func (d *Demand) At(now time.Time) float64 {
	age := now.Sub(d.last)
	if d.count == 0 || age <= 0 {
		return d.count
	}
	return d.count * math.Exp2(-float64(age)/float64(HalfLife))
}
