package device

import (
	"math"
	"slices"
)

const (
	leastShare  = 0.25 // a device that still answers is not starved: what runs on it has to end
	hotShare    = 0.5  // of one that is slowed down and does not tell its clocks
	shareWeight = 0.2  // of a new reading: a GPU at its limit slows down and recovers from one second to the next
	shareSteps  = 20.0
)

// nextShare is how much of its usual work the device should get, given the share before (0: none
// yet): as much as heat, or the power supply, leave of its clocks. Its power limit costs nothing
// here, since every GPU meets it under load.
func nextShare(before float64, r Reading) float64 {
	now := 1.0
	if slices.Contains(r.Throttle, ThrottleThermal) || slices.Contains(r.Throttle, ThrottleBrake) {
		now = hotShare
		if r.ClockMHz > 0 && r.ClockMaxMHz >= r.ClockMHz {
			now = float64(r.ClockMHz) / float64(r.ClockMaxMHz)
		}
	}
	if before <= 0 || before > 1 {
		before = 1
	}
	return max(leastShare, before+shareWeight*(now-before))
}

// stepped is a share in steps, so that it does not change with every reading.
func stepped(share float64) float64 { return math.Round(share*shareSteps) / shareSteps }
