package slots

import (
	"math"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A Reason says why the limit has changed.
type Reason string

// Reasons.
const (
	Unchanged Reason = ""
	Gain      Reason = "gain"      // more are served with more at a time, or may be: it is tried
	NoGain    Reason = "no_gain"   // as many are served with fewer at a time, or may be: it is tried
	Queue     Reason = "queue"     // requests stand in the engine's own queue
	Preempted Reason = "preempted" // the engine has taken memory from requests under way
	Memory    Reason = "memory"    // it has run out of it, or nearly
	Machine   Reason = "machine"   // it has become slow while the machine has more to do than it has processors for
	Restored  Reason = "restored"  // what was tried was worse
)

const (
	// nearly is the part of the best throughput that is as good as the best.
	nearly = 0.98
	// within is how much less may be served before more are let in again, or how much more has to
	// be with fewer before it is gone back to those: what changes by chance changes nothing.
	within = 0.01
	// worth is how long a request has to hold its place for fewer at a time to be tried: shorter
	// ones do not wait for long inside, either.
	worth = 200 * time.Millisecond
	// cut is the most that a limit is lowered by at once.
	cut = 0.7

	each     = 4   // samples are looked at together
	fewest   = 16  // samples by which a number of requests is judged
	most     = 100 // samples after which it is judged, however unsure
	mostUp   = 40  // after which more at a time have to have brought something
	sure     = 2.0 // standard errors by which a difference counts
	vague    = 0.1 // of throughput: who is known no better is not gone to
	surer    = 3.0 // for what is done early, or on less evidence
	furthest = 3   // steps up that are tried at once

	upFirst, upLast     = 20 * time.Second, 10 * time.Minute // between two trials
	downFirst, downLast = time.Minute, 40 * time.Minute
)

// A Controller finds the limit of one instance. Its zero value has yet to be told a ceiling.
type Controller struct {
	steps  []int
	known  []known // by step: what so many at a time have brought
	here           // at the limit that it has now
	search         // for another
	engine engine  // what it tells
	watch  watch   // what is seen of its requests before they end
}

// known is what is remembered of one number of requests at a time.
type known struct {
	late level // by which it is judged
	long level // by which those are that come by chance, as fewer are there than may be
}

// here is what is remembered since the limit was moved, and no longer.
type here struct {
	at     int // step that the limit is
	since  time.Time
	skip   int   // requests that are yet to end whose time was not that of this limit, or that are the first since because they are short
	recent level // of requests that had it
}

// search is what is remembered of what was tried. Its zero value has tried nothing.
type search struct {
	trial trial
	up    patience
	less  patience
	reach int     // steps up that the next trial takes, less one
	fresh float64 // requests since it last decided
}

// A trial is a step that was taken without knowing what it brings. Its zero value is none.
type trial struct {
	from int
	on   bool
}

// A patience is the time between trials: it doubles with each that was in vain.
type patience struct {
	wait time.Duration
	next time.Time
}

func (p *patience) vain(first, last time.Duration, now time.Time) {
	p.wait = min(max(2*p.wait, first), last)
	p.next = now.Add(p.wait)
}

// Ceiling says how many the engine takes. Another number than before has all begin anew.
func (c *Controller) Ceiling(n int) {
	n = max(n, 1)
	if len(c.steps) > 0 && c.steps[len(c.steps)-1] == n {
		return
	}
	*c = Controller{steps: ladder(n)}
	c.known, c.at = make([]known, len(c.steps)), len(c.steps)-1
}

// Limit is how many requests at a time may be there; 0: no ceiling has been told.
func (c *Controller) Limit() int {
	if len(c.steps) == 0 {
		return 0
	}
	return c.steps[c.at]
}

// Ended takes in a request that was answered whole.
func (c *Controller) Ended(s Sample, now time.Time) Reason {
	if len(c.steps) == 0 || !(s.Busy > 0 && s.Share > 0) || c.watch.ended(&s) {
		return Unchanged
	}
	if c.skip > 0 {
		c.skip--
		return Unchanged
	}
	e := evidence{n: 1, held: s.Busy, share: s.Share, work: s.work(), alike: 1}
	return c.learn(c.step(e.beside(), s.Taken/s.Busy), &e, now)
}

// step is that of so many requests, where so many places were taken: those to which somebody is on the way count.
func (c *Controller) step(beside, places float64) int {
	if c.nearest(places) == c.at {
		return c.at
	}
	return c.nearest(beside)
}

// learn takes in what a number of requests has shown, and decides.
func (c *Controller) learn(i int, e *evidence, now time.Time) Reason {
	c.known[i].late.add(e, short, now)
	c.known[i].long.add(e, long, now)
	c.fresh += e.n
	if i == c.at {
		c.recent.add(e, short, now)
	}
	if c.fresh < each {
		return Unchanged
	}
	c.fresh = 0
	if i == c.at {
		return c.judge(now)
	}
	return c.idle(i, now)
}

// nearest is the step next to n, as a ratio.
func (c *Controller) nearest(n float64) int {
	for i := len(c.steps) - 1; i > 0; i-- {
		if n*n >= float64(c.steps[i]*c.steps[i-1]) {
			return i
		}
	}
	return 0
}

// judge decides at the step that the limit is, where all places are taken.
func (c *Controller) judge(now time.Time) Reason {
	if c.recent.n >= fewest/2 && c.recent.n < fewest {
		if c.trial.on && c.worse(c.at, c.trial.from) {
			return c.revert(now)
		}
		return c.flees(c.at, now)
	}
	if c.recent.n < fewest {
		return Unchanged
	}
	if why := c.notice(now); why != Unchanged {
		return why
	}
	if c.trial.on {
		low, high := min(c.at, c.trial.from), max(c.at, c.trial.from)
		if !c.decided(low, high) {
			return Unchanged
		}
		if c.enough(low, high) != (c.at == low) {
			return c.revert(now)
		}
		c.settle(now)
	}
	best := c.best(now)
	want := c.want(best, now)
	if c.brief() {
		want = max(want, c.at)
	}
	if now.Before(c.engine.hold) {
		want = min(want, c.at)
	}
	switch {
	case want == c.at:
		return c.try(now)
	case !c.decided(min(want, c.at), best):
		return Unchanged
	case want < c.at:
		return c.move(c.down(want), NoGain, now)
	}
	c.less.vain(downFirst, downLast, now)
	return c.move(want, Gain, now)
}

// collapsed tells whether far less is served at the limit than at a step.
func (c *Controller) collapsed(than int) bool {
	return c.known[c.at].late.throughput() < c.known[than].late.throughput()/2
}

// down is the step to take on the way down to a known one.
func (c *Controller) down(to int) int {
	if c.collapsed(to) {
		return to
	}
	return max(to, c.below(c.steps[c.at]))
}

// enough tells whether a step has nearly the throughput of another. Where that is in doubt, it has.
func (c *Controller) enough(i, than int) bool {
	part := nearly
	switch {
	case c.trial.on:
	case i == c.at:
		part -= within
	case i < c.at:
		part += within
	}
	a, b := &c.known[i].late, &c.known[than].late
	return a.throughput()*(1+math.Hypot(a.unsure(), b.unsure())) >= part*b.throughput()
}

// decided tells whether that is beyond chance, or has been measured for long.
func (c *Controller) decided(i, than int) bool {
	a, b := &c.known[i].late, &c.known[than].late
	n := c.recent.n
	return i == than || n >= most || c.trial.on && c.at > c.trial.from && n >= mostUp || math.Abs(math.Log(a.throughput()/b.throughput()/nearly)) >= sure*math.Hypot(a.unsure(), b.unsure())
}

// brief is the level's, of what the limit has now.
func (c *Controller) brief() bool { return c.recent.brief() }

// settle ends a trial that has brought something.
func (c *Controller) settle(now time.Time) {
	if c.at > c.trial.from {
		c.up, c.reach = patience{}, 0
	} else {
		c.less, c.up.next = patience{}, spec.Later(c.up.next, now.Add(upFirst)) // what was left is known to be no better
	}
	c.trial = trial{}
}

// revert ends a trial that was in vain.
func (c *Controller) revert(now time.Time) Reason {
	from := c.trial.from
	switch {
	case c.at > from && c.worse(c.at, from): // and even more at a time would not be better
		c.up.vain(upFirst, upLast, now)
		c.up.vain(upFirst, upLast, now)
		c.reach = 0
	case c.at > from:
		c.up.vain(upFirst, upLast, now)
		c.reach = (c.reach + 1) % furthest
	default:
		c.less.vain(downFirst, downLast, now)
	}
	c.trial = trial{}
	return c.move(from, Restored, now)
}

// worse tells whether a step has clearly less than nearly the throughput of another.
func (c *Controller) worse(i, than int) bool {
	l, b := &c.known[i].late, &c.known[than].late
	return math.Log(nearly*b.throughput()/l.throughput()) > surer*math.Hypot(l.unsure(), b.unsure())
}

// best is the known step with the most throughput: the most of many that are alike is not
// that which was lucky.
func (c *Controller) best(now time.Time) int {
	best := c.at
	for i := range c.known {
		if l := &c.known[i].late; l.known(now) && l.surely() > c.known[best].late.surely() {
			best = i
		}
	}
	return best
}

// want is the least step that is known to be nearly as good as the best.
func (c *Controller) want(best int, now time.Time) int {
	for i := range c.known {
		if l := &c.known[i].late; l.known(now) && (i == c.at || l.unsure() < vague) && c.enough(i, best) {
			return i
		}
	}
	return c.at
}

// below is the step to which a limit of n is lowered at most.
func (c *Controller) below(n int) int {
	return min(c.nearest(cut*float64(n)), max(c.nearest(float64(n))-1, 0))
}

// try takes a step whose throughput is not known.
func (c *Controller) try(now time.Time) Reason {
	if top := len(c.steps) - 1; c.at < top && !now.Before(c.up.next) && !now.Before(c.engine.hold) {
		to := min(c.at+1+c.reach, top)
		if c.up.wait > 0 || !c.known[to].late.known(now) {
			return c.begin(to, Gain, now)
		}
	}
	if c.brief() || now.Before(c.less.next) {
		return Unchanged
	}
	low := c.hopeless(now)
	if low >= c.at-1 {
		return Unchanged
	}
	to := max((low+c.at+1)/2, c.below(c.steps[c.at]))
	return c.begin(to, NoGain, now)
}

// hopeless is the greatest step below the limit that is known to be worse, by what was
// measured there, or at fewer requests: none is served faster where there are more. -1: none is.
func (c *Controller) hopeless(now time.Time) int {
	least, low := nearly*c.known[c.at].late.throughput(), -1
	fastest := math.Inf(1)
	for i := range c.at {
		l := &c.known[i].late
		if !l.known(now) {
			l = &c.known[i].long
		}
		if l.known(now) {
			fastest = min(fastest, l.pace())
		}
		if most := float64(c.steps[i]) / fastest; 0 < most && most < least || l.known(now) && l.throughput() < least {
			low = i
		}
	}
	return low
}

func (c *Controller) begin(to int, why Reason, now time.Time) Reason {
	c.trial = trial{from: c.at, on: true}
	c.known[to].late = level{}
	return c.move(to, why, now)
}

func (c *Controller) move(to int, why Reason, now time.Time) Reason {
	if to == c.at {
		return Unchanged
	}
	c.here = here{at: to, since: now, skip: c.steps[max(to, c.at)]}
	return why
}
