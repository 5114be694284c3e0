package balance

import (
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/prefix"
)

// Named takes a place for q on the instance at whose device the answer to it is kept, if
// it is kept anywhere: every gateway names the same one, as long as all know the same
// instances, and where one goes its requests alone go elsewhere. room tells whether q may
// be served there as well; without, it may only ask for the answer. false: nobody is named.
func (t *Table) Named(q *Query) (g Grant, room, ok bool) {
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
	room = p.queue.Len() == 0 && in.takes(q, now, t.stale())
	g = t.grantLocked(in, q, now)
	switch _, made := t.mu.making[q.Kept]; {
	case made || !room: // it takes a place for moments at most, and must not keep others from it while an answer is made
		g.ghost = true
		g.uncountLocked()
		in.read, g.reading = in.read.Add(-g.reading), 0
	default:
		g.making, g.kept = true, q.Kept
		t.mu.making[q.Kept] = struct{}{}
	}
	return g, room, true
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

// Free says that the request takes no place after all: it is answered by an answer that
// was kept, or by another's. Nothing more is learnt of it.
func (g *Grant) Free() {
	g.Answered()
	g.guessed = false
	g.back()
}

// Unkept says that the answer was not there, and that nothing else was asked for.
func (g *Grant) Unkept(r *spec.Rejection) {
	if r.Load != nil {
		g.Learn(*r.Load)
	}
	g.back()
}

// back gives the place back as if it had not been taken.
func (g *Grant) back() {
	t := g.take()
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.backLocked(g)
}
