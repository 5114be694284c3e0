//go:build mutant

package balance

import "github.com/lotabots/lotabots/cluster/spec"

// Peek picks for q without taking a place: for a build that is broken on purpose.
func (t *Table) Peek(q *Query) (spec.Target, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.mu.pools[q.Deployment]
	if p == nil {
		return spec.Target{}, false
	}
	in, standing := Pick(p.list, q, t.cfg.Now(), t.stale(), t.cfg.Random)
	if standing != Picked {
		return spec.Target{}, false
	}
	return in.Target, true
}
