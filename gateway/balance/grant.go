package balance

import (
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Release gives the place back at the end of the request. A second call does nothing.
func (g *Grant) Release() {
	t := g.take()
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.mu.pools[g.in.Deployment]; p != nil {
		held := t.cfg.Now().Sub(g.began).Seconds()
		p.hold += 0.1 * (held - p.hold)
	}
	t.backLocked(g)
}

// Learn takes over the load that came with an answer, if it is no older than
// what is known. The place stays taken.
func (g *Grant) Learn(l spec.Load) {
	if g.table == nil {
		return
	}
	g.table.mu.Lock()
	defer g.table.mu.Unlock()
	g.in.learnAnswer(l, g.table.cfg.Now())
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
	now := t.cfg.Now()
	t.backLocked(g)
	if r.Load != nil {
		g.in.learnAnswer(*r.Load, now)
	}
	if r.Reason != spec.RejectBusy {
		g.in.shunned = true
		return
	}
	if free := max(g.in.Slots, 1) - g.in.load(); free > 0 {
		g.in.since += free
	}
}

// Failed gives the place back after a connection failed: the instance is left
// alone until it is heard of again.
func (g *Grant) Failed() {
	t := g.take()
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	g.in.shunned = true
	t.backLocked(g)
}

func (g *Grant) take() *Table {
	t := g.table
	g.table = nil
	return t
}

func (t *Table) backLocked(g *Grant) {
	g.in.own--
	g.in.since--
	g.in.pending = max(0, g.in.pending-g.prompt)
	if p := t.mu.pools[g.in.Deployment]; p != nil && len(p.waiters) > 0 {
		t.serveLocked(p)
	}
}

// learnAnswer is learn for a load that did not come by digest: one of the same
// number as the last digest may still be newer, one of a lower number is not.
func (in *Instance) learnAnswer(l spec.Load, now time.Time) {
	if l.Seq >= in.seq {
		in.learn(l, now)
	}
}
