package strain

import (
	"math"
	"time"

	"github.com/lotabots/lotabots/gateway/fair"
)

// A Sample is what was seen of the process in an interval.
type Sample struct {
	For     time.Duration
	Latency time.Duration // that goroutines waited to run: nine of ten at most, or the one that looks; 0: too few did to tell
	CPU     float64       // share of the processors that the process may use which it used, 0 to 1
	Came    [fair.Bands]int
	Taken   [fair.Bands]int
}

// When a gateway is strained. A full one with a hundred requests at a time has goroutines
// that wait for some milliseconds: that is no strain. Others on the same machine can have them wait too.
const (
	busyLatency = 50 * time.Millisecond  // where the processors are used up
	idleLatency = 250 * time.Millisecond // where they are not: somebody else uses them
	busyCPU     = 0.85
	confirm     = 3    // intervals of strain in turn before anything is done
	least       = 100  // requests a second that are always taken
	cut         = 0.9  // of the pace, each interval of strain
	rise        = 1.03 // of the pace, each interval without
	release     = 10   // intervals without strain until all are taken again
	learns      = 0.02 // of what is taken without strain, and
	forgets     = 0.998
	half        = 0.5 // of that is always taken
	mostGrowth  = 3   // of latency in a second that is believed: four times what can be done came
)

// A Pace is how many requests a second are taken. Its zero value takes all.
type Pace struct {
	limit    float64 // 0: all
	came     [fair.Bands]float64
	good     float64       // requests a second that were taken without strain, of late
	strained int           // intervals in turn
	calm     int           // likewise
	latency  time.Duration // of the last
}

// Step takes in an interval and returns the share of each band's requests that is taken
// in the next, from 0 to 1.
func (p *Pace) Step(s Sample) (shares [fair.Bands]float64) {
	seconds := s.For.Seconds()
	came, taken := 0.0, 0.0
	for i := range s.Came {
		p.came[i] += 0.5 * (float64(s.Came[i])/seconds - p.came[i])
		came += p.came[i]
		taken += float64(s.Taken[i]) / seconds
	}
	if strained(s) {
		p.strained += min(max(1, int(s.For/every)), 2) // whoever looks waits to run too; but the machine may have stood still once
		p.calm = 0
	} else {
		p.strained = 0
		p.calm++
	}
	grows := min(max(0, (s.Latency-p.latency).Seconds()/seconds), mostGrowth)
	falls := s.Latency < p.latency
	p.latency = s.Latency
	p.good *= forgets
	if p.strained == 0 && p.limit == 0 {
		p.good += learns * (taken - p.good)
	}
	least := max(least, half*p.good) // to refuse costs too: where more of that does not help, serve
	switch {
	case p.strained >= confirm && p.limit == 0:
		p.limit = max(least, cut*taken/(1+grows)) // of what came, as much as did not make others wait longer
	case p.strained >= confirm && !falls: // else what waits is being worked off
		p.limit = max(least, cut*p.limit/(1+grows))
	case p.limit > 0 && p.strained == 0:
		if p.limit *= rise; p.limit > 1.5*came && p.calm >= release {
			p.limit = 0
		}
	}
	return p.shares()
}

func strained(s Sample) bool {
	return s.Latency > idleLatency || s.Latency > busyLatency && s.CPU > busyCPU
}

// shares gives the pace to the highest band first.
func (p *Pace) shares() (out [fair.Bands]float64) {
	left := p.limit
	if left == 0 {
		left = math.Inf(1)
	}
	for i := len(out) - 1; i >= 0; i-- {
		out[i] = 1
		if p.came[i] > left {
			out[i] = left / p.came[i]
		}
		left = max(0, left-p.came[i])
		if left == 0 && p.came[i] == 0 {
			out[i] = 0 // nobody came of late, and there is nothing left
		}
	}
	return out
}
