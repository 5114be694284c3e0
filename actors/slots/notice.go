package slots

import (
	"math"
	"time"
)

const (
	changed = 0.15 // part by which throughput differs where it is another engine, or other work
	surest  = 4.0  // standard errors: it is asked for again and again
)

// notice forgets what was known where what is measured now differs from it. Where less is served
// while the machine has too much to do, fewer are let in at once.
func (c *Controller) notice(now time.Time) Reason {
	l, r := &c.known[c.at].late, &c.recent
	if r.n >= 2*most { // it is what is known
		c.recent.fade(0.5, short, now)
	}
	part := r.throughput() / l.throughput()
	ratio := math.Abs(math.Log(part))
	if ratio < changed || ratio < surest*math.Hypot(r.unsure(), l.unsure()) {
		return Unchanged
	}
	clear(c.known)
	*l = *r
	c.search = search{}
	if to := max(c.below(c.steps[c.at]), c.nearest(part*float64(c.steps[c.at]))); part < 1 && to < c.at && c.engine.pressed >= standingFor && !c.brief() {
		return c.lower(to, Machine, now)
	}
	return Unchanged
}

// idle decides where fewer requests are there than the limit lets in. Where each is served as
// fast as ever fewer would not do: that they would has to be measured well, beside the times at
// which there were half as many again.
func (c *Controller) idle(is int, now time.Time) Reason {
	if why := c.flees(is, now); why != Unchanged {
		return why
	}
	const plain = 0.05
	for i := range c.at {
		l := level{}
		l.join(&c.known[i].long, long, now)
		if l.n < fewest {
			continue
		}
		var more level
		for j := i + 1; j < len(c.known); j++ {
			if 2*c.steps[j] >= 3*c.steps[i] {
				more.join(&c.known[j].long, long, now)
			}
		}
		if more.n < fewest || more.brief() {
			return Unchanged
		}
		if math.Hypot(l.unsure(), more.unsure()) > plain || l.throughput() < nearly*more.throughput() || c.better(&l, i, now) {
			continue
		}
		if c.trial.on && c.trial.from < c.at {
			c.up.vain(upFirst, upLast, now)
		}
		c.trial = trial{}
		return c.move(i, NoGain, now)
	}
	return Unchanged
}

// better tells whether a number between that and the limit has shown more.
func (c *Controller) better(l *level, than int, now time.Time) bool {
	for j := than + 1; j <= c.at; j++ {
		if b := &c.known[j].long; b.n*b.left(long, now) >= fewest && math.Log(nearly*b.throughput()/l.throughput()) > math.Hypot(b.unsure(), l.unsure()) {
			return true
		}
	}
	return false
}

// flees goes down at once where far less is served with those that are there than with fewer, be it that more do not
// come or that it has just gone up.
func (c *Controller) flees(from int, now time.Time) Reason {
	l := &c.known[from].late
	if from > c.at || !l.known(now) || c.brief() || l.brief() {
		return Unchanged
	}
	to := from
	for i := range from {
		b := &c.known[i].long
		if b.n*b.left(long, now) < each || b.throughput() < c.known[to].long.throughput() && to < from {
			continue
		}
		if math.Log(nearly*b.throughput()/l.throughput()) > surer*math.Hypot(l.doubt(), b.doubt()) {
			to = i
		}
	}
	if to == from {
		return Unchanged
	}
	c.trial = trial{}
	return c.move(to, NoGain, now)
}
