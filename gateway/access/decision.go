package access

// A Decision is the answer to "may this be done?", with its reason.
type Decision struct {
	Allowed  bool    `json:"allowed"`
	Subject  string  `json:"subject,omitempty"` // whose grants decided: user:ID, key:ID
	Verb     Verb    `json:"verb"`
	Resource string  `json:"resource"`
	Tenant   string  `json:"tenant,omitempty"`  // of the resource
	By       *Reason `json:"by,omitempty"`      // what allows it
	Missing  string  `json:"missing,omitempty"` // the permission that nothing gives
	Text     string  `json:"text"`              // one sentence for people
}

// A Reason names what allows something.
type Reason struct {
	Binding    string `json:"binding,omitempty"` // id; empty: a key's own scopes
	Role       string `json:"role"`
	Tenant     string `json:"tenant,omitempty"` // that the binding is in; empty: the whole cluster
	Permission string `json:"permission"`
}

// Decide is Allows with the reason.
func (g Grants) Decide(v Verb, to Resource) Decision {
	d := Decision{Verb: v, Resource: to.String(), Tenant: to.Tenant}
	place := placeOf(v)
	if place == none {
		d.Missing, d.Text = string(v), "There is no verb "+clip(string(v))+"."
		return d
	}
	verb := set(1) << place
	if r := g.find(verb, &to); r != nil {
		d.Allowed, d.By = true, g.reason(r, verb)
		d.Text = d.By.Permission + " is given by " + d.By.by() + "."
		return d
	}
	d.Missing = string(v) + on + d.Resource
	d.Text = d.Missing + where(to) + " is missing" + g.near(verb, &to) + "; roles that have it: " + rolesWith(place) + "."
	return d
}

// where adds the owner to a resource's text where that does not tell it.
func where(r Resource) string {
	if r.Tenant == "" || r.Kind == KindTenant {
		return ""
	}
	return " in tenant " + r.Tenant
}

// by names the reason within a sentence.
func (r *Reason) by() string {
	text := "the role " + r.Role
	if r.Binding == "" {
		text = "the key's scope " + r.Role
	}
	if r.Tenant != "" {
		text += " in tenant " + r.Tenant
	}
	return text
}

func (g *Grants) reason(r *rule, verb set) *Reason {
	from := &g.grants[r.grant]
	out := &Reason{Binding: from.Binding, Role: from.Role, Tenant: from.Tenant}
	for _, p := range from.Permissions {
		if verbsOf(p.Verb)&verb != 0 && reachOf(p.Resource) == r.reach {
			out.Permission = p.String()
			break
		}
	}
	return out
}

// near tells of a grant that has the verb and yet does not reach.
func (g *Grants) near(verb set, to *Resource) string {
	for i := range g.grants {
		from := &g.grants[i]
		for _, p := range from.Permissions {
			if verbsOf(p.Verb)&verb == 0 {
				continue
			}
			r := Reason{Binding: from.Binding, Role: from.Role, Tenant: from.Tenant}
			reach := reachOf(p.Resource)
			switch {
			case !from.everywhere() && verb&clusterOnly != 0:
				return ", as it is of the whole cluster, where " + r.by() + " does not reach"
			case !reach.has(to):
				return ", as " + r.by() + " has only " + p.String()
			default:
				return ", as " + r.by() + " does not reach there"
			}
		}
	}
	return ""
}
