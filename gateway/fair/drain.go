package fair

import (
	"math"
	"time"
)

// A drain measures at which pace a queue is served: what was taken of late over the time
// in which anybody waited.
type drain struct {
	last  time.Time // up to which time is counted
	cost  float64   // both fade
	busy  float64   // seconds
	taken int
}

const (
	drainFades = 10.0 // seconds of waiting in which what was measured loses all but 1/e of its weight
	drainSure  = 3    // so many must have been taken for a pace to be told
)

// begin says that somebody waits from now on.
func (d *drain) begin(now time.Time) { d.last = now }

func (d *drain) note(cost float64, now time.Time) {
	d.pass(now)
	d.cost += cost
	d.taken = min(d.taken+1, drainSure)
}

func (d *drain) undo(cost float64) { d.cost = max(0, d.cost-cost) }

func (d *drain) pass(now time.Time) {
	dt := max(0, now.Sub(d.last).Seconds())
	fade := math.Exp(-dt / drainFades)
	d.cost, d.busy, d.last = d.cost*fade, d.busy*fade+dt, now
}

// rate is the cost served in a second, with the time since the last was taken if anybody
// waits. false: too little is known.
func (d *drain) rate(now time.Time, waiting bool) (float64, bool) {
	at := *d
	if waiting {
		at.pass(now)
	}
	if at.taken < drainSure || at.busy < 1e-3 || !(at.cost > 0) {
		return 0, false
	}
	return at.cost / at.busy, true
}
