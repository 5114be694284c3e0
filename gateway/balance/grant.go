package balance

import (
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// Release gives the place back at the end of the request. A second call does nothing.
func (g *Grant) Release() {
	t := g.take()
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.endLocked(g, t.cfg.Now())
}

// ReleaseTold is Learn and Release.
func (g *Grant) ReleaseTold(l *spec.Load) {
	t := g.take()
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.cfg.Now()
	g.in.learnAnswer(l, now)
	t.endLocked(g, now)
}

// endLocked gives the place back of a request that has had its time there.
func (t *Table) endLocked(g *Grant, now time.Time) {
	if g.good {
		g.in.breaker.good(now, g.probe)
		g.probe = false
	}
	if p := t.poolOf(g.in); p != nil {
		held := now.Sub(g.Began).Seconds()
		p.hold += 0.1 * (held - p.hold)
	}
	t.backLocked(g, now)
}

// Learn takes over the load that came with an answer, if it is no older than
// what is known. The place stays taken.
func (g *Grant) Learn(l spec.Load) {
	if g.table == nil {
		return
	}
	g.table.mu.Lock()
	defer g.table.mu.Unlock()
	g.in.learnAnswer(&l, g.table.cfg.Now())
	if p := g.table.poolOf(g.in); p != nil && p.queue.Len() > 0 {
		g.table.serveLocked(p)
	}
}

// Rejected gives the place back and takes over what the actor told with its
// refusal: one that is busy counts as full until it is heard of again, one that
// cannot serve is left alone until then.
func (g *Grant) Rejected(r *spec.Rejection) {
	t := g.take()
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.backLocked(g, t.cfg.Now()) // last: whoever waits must not be sent there in turn
	if r.Load != nil && g.in.learnAnswer(r.Load, t.cfg.Now()) && !g.shared && !g.ghost {
		g.in.since++ // that load is without this request, which backLocked takes off
	}
	switch r.Reason {
	case spec.RejectBusy:
		g.query.refused++
		if g.shared {
			g.in.sharing.full()
			return
		}
		if g.in.grants && r.Load != nil { // which says it: what is waited for is a grant
			return
		}
	case spec.RejectLoading: // because of this request; it counts as loading until its digest says so
		if g.adapter != 0 && g.in.State == wire.InstanceState_INSTANCE_STATE_READY {
			g.in.bring(g.adapter, r, t.cfg.Now())
			return
		}
		g.in.waking = t.cfg.Now()
		return
	default:
		g.in.shunned = true
		return
	}
	// One more than full, because backLocked takes this request off.
	g.in.since = max(g.in.since, max(g.in.Slots, 1)+1-g.in.Running-g.in.Queued)
}

// Answered says that the instance has answered, well or with what is the request's
// own fault. The place stays taken.
func (g *Grant) Answered() { g.tell(func(b *breaker, now time.Time) { b.good(now, g.probe) }) }

// AnsweredWhole is Answered for who gives the place back next, which tells it.
func (g *Grant) AnsweredWhole() {
	if g.probe { // others wait for the news
		g.Answered()
		return
	}
	g.good = true
}

// Erred says that the engine answered with an error of its own. The place stays taken.
func (g *Grant) Erred() { g.tell(func(b *breaker, now time.Time) { b.bad(now, g.probe, false) }) }

func (g *Grant) tell(what func(*breaker, time.Time)) {
	t := g.table
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	what(&g.in.breaker, t.cfg.Now())
	if !g.probe {
		return
	}
	g.probe = false
	if p := t.poolOf(g.in); p != nil && p.queue.Len() > 0 {
		t.serveLocked(p)
	}
}

// Failed gives the place back after a connection failed: the instance is left
// alone until it is heard of again, and longer where that has happened often.
func (g *Grant) Failed() {
	t := g.take()
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	g.in.shunned = true
	g.in.breaker.bad(t.cfg.Now(), g.probe, true)
	g.probe = false
	t.backLocked(g, t.cfg.Now())
}

func (g *Grant) take() *Table {
	t := g.table
	g.table = nil
	return t
}

// uncountLocked is countLocked's opposite.
func (g *Grant) uncountLocked() {
	if g.shared {
		g.in.sharing.mine--
	} else {
		g.in.own--
		g.in.since--
	}
}

func (t *Table) backLocked(g *Grant, now time.Time) {
	t.unboundLocked(g)
	if g.probe {
		g.in.breaker.left()
		g.probe = false
	}
	if left := g.reading - now.Sub(g.Began); !g.ghost && left > 0 && !g.in.heard.After(g.Began) {
		g.in.read = g.in.read.Add(-left) // it was not read, or sooner
	}
	if g.making {
		delete(t.mu.making, g.kept)
	}
	if !g.ghost {
		g.uncountLocked()
	}
	if p := t.poolOf(g.in); p != nil && p.queue.Len() > 0 {
		t.serveLocked(p)
	}
}

// learnAnswer is learn for a load that did not come by digest: one of the same
// number as the last digest may still be newer, one of a lower number is not.
func (in *Instance) learnAnswer(l *spec.Load, now time.Time) bool {
	if l.Seq < in.seq {
		return false
	}
	in.learn(l, now)
	return true
}
