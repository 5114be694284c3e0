package balance

import (
	"slices"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Abilities tells what some instance of the deployment can, and what none of them can;
// and the most tokens that one request may have at any of them, 0: that is not known.
// Without instances nothing is known. Those of the version count alone where there are
// any; version 0: all.
func (t *Table) Abilities(deployment string, version uint64) (a spec.Abilities, context int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.mu.pools[deployment]
	if p == nil {
		return a, 0
	}
	only := version > 0 && slices.ContainsFunc(p.list, func(in *Instance) bool { return in.Version == version })
	first := true
	for _, in := range p.list {
		if only && in.Version != version {
			continue
		}
		context = max(context, in.context)
		if first {
			first = false
			a = in.able
		} else {
			a = a.Either(in.able)
		}
	}
	return a, context
}
