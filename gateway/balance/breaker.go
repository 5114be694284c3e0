package balance

import "time"

// A BreakerState tells whether requests are sent to an instance.
type BreakerState uint8

// The states, from good to bad.
const (
	BreakerClosed   BreakerState = iota // requests go there
	BreakerHalfOpen                     // one does, and decides
	BreakerOpen                         // none does
)

const (
	failuresInRow = 3 // of connections, that open the breaker
	shareOf       = 10
	shareBad      = 0.5 // of at least shareOf requests in one to two windows, engines' own errors included
	shareWindow   = 5 * time.Second
	leastPause    = time.Second // that the breaker stays open; doubled by each probe that fails
	mostPause     = 30 * time.Second
)

// A breaker keeps requests away from an instance that fails them. Its zero value is
// closed. The Table's lock guards it; all it decides follows from what it is told.
//
// An engine's own error may be the request's fault, so that it counts by share alone:
// nobody can shut others out by sending what an engine chokes on, unless most of what
// the instance gets is that.
type breaker struct {
	row   int // failures of connections, one after the other
	now   tally
	then  tally // of the window before
	began time.Time

	open    bool
	pause   time.Duration
	until   time.Time // open: from when on one request may try
	probing bool
	opened  int // how often, in all
}

type tally struct{ all, bad int }

// lets tells whether a request may be sent to the instance.
func (b *breaker) lets(now time.Time) bool { return !b.open || (!b.probing && !now.Before(b.until)) }

// state is what the breaker is in, to be shown.
func (b *breaker) state(now time.Time) BreakerState {
	switch {
	case !b.open:
		return BreakerClosed
	case b.probing || !now.Before(b.until):
		return BreakerHalfOpen
	}
	return BreakerOpen
}

// sent notes that a request goes to the instance; true: it is the one that decides.
func (b *breaker) sent() bool {
	b.probing = b.open
	return b.open
}

// left notes that a probe ended without telling anything.
func (b *breaker) left() { b.probing = false }

// good notes that the instance answered.
func (b *breaker) good(now time.Time, probe bool) {
	if probe {
		*b = breaker{opened: b.opened}
	}
	b.row = 0
	b.count(now, 0)
}

// bad notes that it did not: hard where the connection failed, else with an error of
// the engine's own.
func (b *breaker) bad(now time.Time, probe, hard bool) {
	b.count(now, 1)
	if hard {
		b.row++
	}
	switch {
	case probe:
		b.pause = min(2*b.pause, mostPause)
	case b.open:
		return // by requests that were sent before
	case b.row >= failuresInRow || b.tooMany():
		b.pause = leastPause
	default:
		return
	}
	b.open, b.probing, b.until = true, false, now.Add(b.pause)
	b.opened++
}

func (b *breaker) tooMany() bool {
	all, bad := b.now.all+b.then.all, b.now.bad+b.then.bad
	return all >= shareOf && float64(bad) >= shareBad*float64(all)
}

func (b *breaker) count(now time.Time, bad int) {
	switch passed := now.Sub(b.began); {
	case passed >= 2*shareWindow:
		b.then, b.now, b.began = tally{}, tally{}, now
	case passed >= shareWindow:
		b.then, b.now, b.began = b.now, tally{}, b.began.Add(shareWindow)
	}
	b.now.all++
	b.now.bad += bad
}

// reset closes the breaker: what failed is another engine than the one that is there now.
func (b *breaker) reset() { *b = breaker{opened: b.opened} }

// trial is how long it takes until an instance that has failed may be tried again: an
// hour where none is to be.
func (p *pool) trial(now time.Time) time.Duration {
	soonest := time.Hour
	for _, in := range p.list {
		if b := &in.breaker; b.open && !b.probing {
			soonest = min(soonest, max(b.until.Sub(now), time.Millisecond))
		}
	}
	return soonest
}
