package access

// A Grant is a role as one binding gives it.
type Grant struct {
	Binding     string // id; empty: a key's own scopes
	Role        string // id
	Tenant      string // where; empty: in the whole cluster
	Confined    bool   // to what Tenant owns, also where that is empty: what nobody owns, and never the whole cluster
	Permissions []Permission
}

// everywhere tells whether the grant is of the whole cluster.
func (g *Grant) everywhere() bool { return g.Tenant == "" && !g.Confined }

// Grants is all that somebody may do. The zero value allows nothing.
type Grants struct {
	grants []Grant
	rules  []rule // the same, made for deciding
	verbs  set    // that any rule has
}

// A rule is those permissions of one grant that reach the same resources.
type rule struct {
	verbs  set
	reach  reach
	tenant string
	whole  bool // the cluster, not one tenant
	grant  int
}

// Effective is those of the permissions that give anything where the grant is: what
// is of the whole cluster is given by no tenant's.
func (g Grant) Effective() []Permission {
	var out []Permission
	for _, p := range g.Permissions {
		verbs := verbsOf(p.Verb)
		if !g.everywhere() {
			verbs &^= clusterOnly
		}
		if verbs != 0 {
			out = append(out, p)
		}
	}
	return out
}

// NewGrants takes the grants together. They must not be changed afterwards.
// What this build does not know of them allows nothing.
func NewGrants(grants ...Grant) Grants {
	out := Grants{grants: grants}
	for i := range grants {
		first := len(out.rules)
		for _, p := range grants[i].Permissions {
			out.add(p, i, first)
		}
	}
	return out
}

// add extends the rule of the same grant (they begin at first) that reaches as
// far, or makes one.
func (g *Grants) add(p Permission, grant, first int) {
	verbs, reach := verbsOf(p.Verb), reachOf(p.Resource)
	whole := g.grants[grant].everywhere()
	if !whole {
		verbs &^= clusterOnly
	}
	if verbs == 0 {
		return
	}
	g.verbs |= verbs
	for i := first; i < len(g.rules); i++ {
		if g.rules[i].reach == reach {
			g.rules[i].verbs |= verbs
			return
		}
	}
	g.rules = append(g.rules, rule{verbs, reach, g.grants[grant].Tenant, whole, grant})
}

// List returns the grants. They must not be changed.
func (g Grants) List() []Grant { return g.grants }

// Allows tells whether the verb may be done to the resource. It allocates nothing.
func (g Grants) Allows(v Verb, to Resource) bool {
	if g.verbs == 0 { // as where nothing is bound
		return false
	}
	i := placeOf(v)
	return i != none && g.find(set(1)<<i, &to) != nil
}

func (g *Grants) find(verb set, to *Resource) *rule {
	if g.verbs&verb == 0 {
		return nil
	}
	for i := range g.rules {
		if r := &g.rules[i]; r.verbs&verb != 0 && r.in(verb, to.Tenant) && r.reach.has(to) {
			return r
		}
	}
	return nil
}

// in tells whether the rule holds for what that tenant owns.
func (r *rule) in(verb set, tenant string) bool {
	return r.whole || r.tenant == tenant || tenant == "" && verb&shared != 0
}

// Sees tells whether anything at all may be done in that tenant.
func (g Grants) Sees(tenant string) bool {
	for i := range g.rules {
		if r := &g.rules[i]; (r.whole || r.tenant == tenant) && r.verbs&^clusterOnly != 0 {
			return true
		}
	}
	return false
}

// Covers tells whether whoever has g has all of other, and so may give it
// away, or act on one who has it; else it names what is missing. It
// may call missing what several grants cover together only.
func (g Grants) Covers(other Grants) (missing Permission, ok bool) {
	for i := range other.grants {
		for _, p := range other.grants[i].Permissions {
			if missing, ok := g.covers(p, &other.grants[i]); !ok {
				return missing, false
			}
		}
	}
	return Permission{}, true
}

// covers asks for a pattern of verbs to be covered as a pattern: later builds
// have more verbs. What the permission does not give where it is given is not asked for.
func (g *Grants) covers(p Permission, given *Grant) (Permission, bool) {
	verbs := verbsOf(p.Verb)
	if !given.everywhere() {
		verbs &^= clusterOnly
	}
	if verbs == 0 {
		return Permission{}, true
	}
	only := given.Tenant
	if verbs&shared != 0 {
		only = ""
	}
	for i := range g.grants {
		have := &g.grants[i]
		if !have.everywhere() && (given.everywhere() || have.Tenant != given.Tenant) {
			continue
		}
		for _, q := range have.Permissions {
			fits := Match(q.Verb, p.Verb) || p.Verb == string(ModelsList) && Match(q.Verb, string(Infer))
			if fits && reachOf(q.Resource).covers(reachOf(p.Resource), only) {
				return Permission{}, true
			}
		}
	}
	return p, false
}
