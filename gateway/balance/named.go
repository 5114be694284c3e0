package balance

import (
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/prefix"
)

// Named takes a place for q on the instance at whose device the answer to it is kept, if
// it is kept anywhere: every gateway names the same one, as long as all know the same
// instances, and where one goes its requests alone go elsewhere. may tells whether q may
// be served there as well; without, it may only ask for the answer, as others wait here
// and come first. Whether there is room the instance's actor says, which knows: what is
// known of it here is of a while ago, and an answer that is made elsewhere because of that
// is made again where it is kept. false: nobody is named.
func (t *Table) Named(q *Query) (g Grant, may, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.forgetLocked()
	p, now := t.poolLocked(q.Deployment), t.cfg.Now()
	in := named(p.list, q, now)
	if in == nil {
		t.tidyLocked(q.Deployment, p)
		return Grant{}, false, false
	}
	t.expectLocked(p, q, now)
	may = p.queue.Len() == 0 && !in.brings(q, now)
	t.ghostLocked(in, q, now, &g)
	if _, made := t.mu.making[q.Kept]; may && !made && in.takes(q, now, t.stale()) { // who asks while it is made takes a place for moments at most, and must not keep others from it
		g.countLocked(now)
		g.making, g.kept = true, q.Kept
		t.mu.making[q.Kept] = struct{}{}
	}
	return g, may, true
}

// named draws among those that may serve q, room apart, of the best place. It is a pure function.
func named(list []*Instance, q *Query, now time.Time) *Instance {
	if q.Kept == 0 {
		return nil
	}
	version, s := servable(list, q, now)
	if s != Full {
		return nil
	}
	var best *Instance
	for _, in := range list {
		if in.Version != version || !in.ready(q, now) || excluded(in, q) {
			continue
		}
		if best == nil || in.place(q) < best.place(q) || in.place(q) == best.place(q) && in.nearer(q, best) {
			best = in
		}
	}
	return best
}

// nearer tells whether the answer to q is kept at in's device rather than at other's.
func (in *Instance) nearer(q *Query, other *Instance) bool {
	mine, its := prefix.Draw(q.Kept, in.shelf), prefix.Draw(q.Kept, other.shelf)
	return mine > its || mine == its && in.Target.Instance < other.Target.Instance
}

// Made says that the answer is made for the request: it has its place like any other.
func (g *Grant) Made() {
	t := g.table
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.cfg.Now()
	if p := t.poolOf(g.in); p != nil {
		p.counts(g.query, now)
		p.countsPlace(g.query, g.in, now)
	}
	if g.ghost {
		g.countLocked(now)
	}
}

// Free says that the request takes no place after all: it is answered by an answer that
// was kept, or by another's. Nothing is learnt of the instance, whose engine was not asked.
func (g *Grant) Free() {
	g.guessed = false
	g.back()
}

// Unkept says that the answer was not there, and that the instance had no room to make
// it, or was not to.
func (g *Grant) Unkept(r *spec.Rejection) {
	t := g.take()
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.Load != nil && g.in.learnAnswer(r.Load, t.cfg.Now()) && !g.shared && !g.ghost {
		g.in.since++ // as in Rejected
	}
	t.backLocked(g, t.cfg.Now())
}

// back gives the place back as if it had not been taken.
func (g *Grant) back() {
	t := g.take()
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.backLocked(g, t.cfg.Now())
}
