package balance

import "github.com/lotabots/lotabots/cluster/spec"

// Abilities tells what some instance of the deployment can, and what none of them can;
// and the most tokens that one request may have at any of them, 0: that is not known.
// Without instances nothing is known.
func (t *Table) Abilities(deployment string) (a spec.Abilities, context int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.mu.pools[deployment]
	if p == nil {
		return a, 0
	}
	for i, in := range p.list {
		context = max(context, in.context)
		if i == 0 {
			a = in.able
		} else {
			a = a.Either(in.able)
		}
	}
	return a, context
}
