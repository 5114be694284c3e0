package slots

import (
	"math"
	"time"
)

const (
	changed = 0.15 // part by which throughput differs where it is another engine, or other work
	surest  = 4.0  // standard errors: it is asked for again and again
)

// notice forgets what was known where what is measured now differs from it.
func (c *Controller) notice(now time.Time) {
	l, r := &c.levels[c.at], &c.recent
	if r.n >= 2*most { // it is what is known
		c.recent.fade(0.5, now)
	}
	ratio := math.Abs(math.Log(r.throughput() / l.throughput()))
	if ratio < changed || ratio < surest*math.Hypot(r.unsure(), l.unsure()) {
		return
	}
	clear(c.levels)
	*l = *r
	c.up, c.less, c.reach, c.trial = patience{}, patience{}, 0, trial{}
}

// idle decides where fewer requests are there than the limit lets in, so many that their
// number is next to step i. Where demand is low each is served as fast as ever, so fewer
// would not do: that they would has to be measured well, over half as many again.
func (c *Controller) idle(i int, now time.Time) Reason {
	const plain = 0.06
	l := &c.levels[i]
	if i > c.at || l.n < fewest || c.nearest(c.load) != i || l.held < l.n*worth.Seconds() {
		return Unchanged
	}
	want := c.want(c.best(now), now)
	w := &c.levels[want]
	if 2*c.steps[i] < 3*c.steps[want] || w.n < fewest || math.Hypot(w.unsure(), l.unsure()) > plain || w.throughput() < nearly*l.throughput() {
		return Unchanged
	}
	c.trial = trial{}
	return c.move(max(want, c.below(c.steps[i])), NoGain, now)
}
