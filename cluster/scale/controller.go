package scale

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
)

// A Controller remembers, of each deployment that is scaled, what Decide goes by. It is
// one leader's, for as long as that leads, and belongs to one goroutine.
type Controller struct {
	tracks map[string]*track
}

type track struct {
	History
	decided Decision
}

// NewController returns one that remembers nothing.
func NewController() *Controller { return &Controller{tracks: map[string]*track{}} }

// Look takes in what is seen of d and decides. began is how many replicas are wanted
// where nothing has been decided in this term. changed tells whether the number is another.
func (c *Controller) Look(d *wire.Deployment, s Sample, began int) (Decision, bool) {
	t := c.tracks[d.GetName()]
	if t == nil {
		t = &track{History: History{Since: s.At, Wanted: began}}
		c.tracks[d.GetName()] = t
	}
	if n := len(t.Samples); n > 0 && s.At.Sub(t.Samples[n-1].At) < soonest {
		return t.decided, false
	}
	t.take(s)
	was := t.Wanted
	t.decided = Decide(d.GetScale(), &t.History, s.At)
	t.Wanted = t.decided.Wanted
	if t.Wanted < was {
		t.Lowered = s.At
	}
	t.note(t.decided.Look, Windows(d.GetScale()))
	return t.decided, t.Wanted != was
}

// Began is how many replicas are wanted of d where nobody remembers a decision: as many as
// are placed, within its bounds, or what it begins with.
func Began(d *wire.Deployment, placed int, now time.Time) int {
	n := int(d.GetReplicas())
	if placed > 0 {
		n = placed
	}
	least, most, _ := bounds(d.GetScale(), now)
	return min(max(n, least), most)
}

// soonest is how soon after a look the next one is worth it.
const soonest = 500 * time.Millisecond

// note keeps what was found to be needed, a few hundred parts of the span.
func (t *track) note(l Look, span time.Duration) {
	const parts = 256
	if n := len(t.Looks); n > 0 && l.At.Sub(t.Looks[n-1].From) < span/parts {
		t.Looks[n-1] = t.Looks[n-1].with(l)
	} else {
		t.Looks = append(t.Looks, l)
	}
	t.Looks = trim(t.Looks, func(o *Look) bool { return l.At.Sub(o.At) > span })
}

// take adds the sample, and learns from it.
func (t *track) take(s Sample) {
	t.Samples = trim(append(t.Samples, s), func(o *Sample) bool { return s.At.Sub(o.At) > Memory })
	if s.Load > 0 {
		t.Load = s.Load
	}
	if s.Ready > 0 && s.Slots > 0 {
		t.Slots = float64(s.Slots) / float64(s.Ready)
	}
	const few = 5 // requests say nothing of how long others take
	started := s.started()
	if started < few || s.Window <= 0 || s.Ready == 0 {
		return
	}
	running := mean(since(t.Samples, s.Window), func(o *Sample) float64 { return float64(o.Running + o.Queued) })
	hold := running * s.Window.Seconds() / float64(started)
	if t.Hold == 0 {
		t.Hold = hold
	}
	t.Hold += 0.1 * (hold - t.Hold)
}

// trim drops what is old from the front. It moves the rest only now and then.
func trim[T any](list []T, old func(*T) bool) []T {
	n := 0
	for n < len(list) && old(&list[n]) {
		n++
	}
	if n == 0 {
		return list
	}
	return append(list[:0], list[n:]...)
}

// Keep forgets deployments for which keep is false.
func (c *Controller) Keep(keep func(deployment string) bool) {
	maps.DeleteFunc(c.tracks, func(name string, _ *track) bool { return !keep(name) })
}

// A State is where one deployment stands.
type State struct {
	Deployment string
	Ready      int
	Decision
}

// States lists the last decisions, by deployment.
func (c *Controller) States() []State {
	out := make([]State, 0, len(c.tracks))
	for name, t := range c.tracks {
		out = append(out, State{Deployment: name, Ready: t.Samples[len(t.Samples)-1].Ready, Decision: t.decided})
	}
	slices.SortFunc(out, func(a, b State) int { return cmp.Compare(a.Deployment, b.Deployment) })
	return out
}
