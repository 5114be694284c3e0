package access

import "slices"

// Somewhere tells whether the verb may be done to anything at all. It allocates nothing.
func (g Grants) Somewhere(v Verb) bool {
	i := placeOf(v)
	return i != none && g.verbs&(1<<i) != 0
}

// Where tells in which tenants the verb may be done to anything at all, sorted,
// or that it may be done in the whole cluster. What exactly it may be done to,
// Allows tells. A tenant "" stands for what no tenant owns.
func (g Grants) Where(v Verb) (everywhere bool, tenants []string) {
	i := placeOf(v)
	if i == none {
		return false, nil
	}
	for _, r := range g.rules {
		if r.verbs&(1<<i) == 0 {
			continue
		}
		if r.whole {
			return true, nil
		}
		tenants = append(tenants, r.tenant)
		if shared&(1<<i) != 0 {
			tenants = append(tenants, "")
		}
	}
	slices.Sort(tenants)
	return false, slices.Compact(tenants)
}
