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
	usual       = 1.25            // of what was taken without strain of late: who comes no more often is not the cause,
	dying       = 2 * time.Second // and is held back only where goroutines wait for as long as that
	confirm     = 3               // intervals of strain in turn before anything is done
	least       = 100             // requests a second that are always taken
	cut         = 0.9             // of the pace, each interval of strain
	rise        = 1.03            // of the pace, each interval without
	worked      = 0.98            // of what waited is left after an interval in which it is being worked off
	release     = 10              // intervals without strain until all are taken again
	smooth      = 0.2             // of an interval's rate goes into that of all who come
	learns      = 0.1             // of what more is taken without strain than was known to be good, each interval, and
	forgets     = 0.999           // of that where less is, or where somebody has to be refused
	wanes       = 0.98            // of that where goroutines wait for as long as dying
	always      = 0.9             // of it is taken, and
	atDeath     = 0.5             // where they do
	mostGrowth  = 3               // of latency in a second that is believed: four times what can be done came
)

// A Pace is how many requests a second are taken. Its zero value takes all.
//
// The processors may be full for other reasons than requests: by other programs, or by clients who send
// what is refused before it counts as one. Refusing requests is of no use then. So those who come
// about as often as was no strain of late are not the cause, and are served however long it takes.
type Pace struct {
	limit    float64 // 0: all
	came     [fair.Bands]float64
	all      float64       // of all bands, smoother
	seen     int           // intervals, and
	learnt   int           // those from which it was learnt what is good
	good     float64       // requests a second that were taken without strain, of late: at most, not on average
	strained int           // intervals in turn
	calm     int           // likewise
	latency  time.Duration // of the last
}

// Step takes in an interval and returns the share of each band's requests that is taken
// in the next, from 0 to 1.
func (p *Pace) Step(s Sample) (shares [fair.Bands]float64) {
	seconds := s.For.Seconds()
	came, now, taken := 0.0, 0.0, 0.0
	for i := range s.Came {
		p.came[i] += 0.5 * (float64(s.Came[i])/seconds - p.came[i])
		came += p.came[i]
		now += float64(s.Came[i]) / seconds
		taken += float64(s.Taken[i]) / seconds
	}
	p.seen++
	p.all += max(smooth, 1/float64(p.seen)) * (now - p.all)
	p.learn(s)
	if strained(s) && !p.innocent(s) {
		p.strained += min(max(1, int(s.For/every)), 2) // whoever looks waits to run too; but the machine may have stood still once
		p.calm = 0
	} else {
		p.strained = 0
		p.calm++
	}
	grows := min(max(0, (s.Latency-p.latency).Seconds()/seconds), mostGrowth)
	falls := float64(s.Latency) < worked*float64(p.latency)
	p.latency = s.Latency
	least := p.least(s)
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
	if p.limit > 0 {
		p.limit = max(least, p.limit)
	}
	return p.shares()
}

func strained(s Sample) bool {
	return s.Latency > idleLatency || s.Latency > busyLatency && s.CPU > busyCPU
}

// innocent tells whether the requests are not what the strain comes from. Once some are refused,
// that ends only with the strain: else it would come and go.
func (p *Pace) innocent(s Sample) bool {
	return p.limit == 0 && p.all <= usual*p.good && s.Latency < dying
}

// learn takes note of what could be taken without strain. What is known of that stays while others
// cause one, and wanes where not even that can be done any more.
func (p *Pace) learn(s Sample) {
	switch {
	case s.Latency >= dying:
		p.good *= wanes
	case p.limit > 0 || !strained(s) && p.all < p.good:
		p.good *= forgets
	case !strained(s):
		p.learnt++
		p.good += max(learns, 1/float64(p.learnt)) * (p.all - p.good)
	}
}

// least is what is taken in any case: to refuse costs too, so where more of that does not help, serve.
func (p *Pace) least(s Sample) float64 {
	if s.Latency >= dying {
		return max(least, atDeath*p.good)
	}
	return max(least, always*p.good)
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
