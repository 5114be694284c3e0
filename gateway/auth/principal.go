package auth

import (
	"sync/atomic"
	"time"

	"github.com/lotabots/lotabots/gateway/access"
	"github.com/lotabots/lotabots/gateway/limit"
)

// A Kind is how a principal has shown who it is.
type Kind uint8

// The kinds.
const (
	OfKey     Kind = iota // an API key
	OfSession             // an access token
)

// A Principal is who sends a request. It is never changed once made, but for what it keeps
// of its use; what it may do is asked of the table, and so follows the newest state.
type Principal struct {
	Kind    Kind
	Deny    bool   // nothing is admitted under Limit where no owner answers
	PerMin  uint32 // requests per minute; 0: no limit
	Key     string // id; empty: a session
	User    string // id: the session's, or the key's owner; empty: nobody
	Session string // id; empty: a key
	Tenant  string
	Name    string        // of the key, or the user's
	Limit   string        // the limit's id, as of LimitOf; empty: no limit
	Rate    limit.Slot    // of Limit
	Used    atomic.Int64  // when, about; Unix ms
	Limits  []limit.Limit // the key's others; not to be changed

	table    *Table
	scopes   *access.Grants // of a key; shared with keys of the like
	confines *confines      // nil: none
	of       *user          // of a session: the record that it was made from
}

// Actor names the principal as the audit log does: key/ID, user/ID.
func (p *Principal) Actor() string {
	if p.Kind == OfSession {
		return "user/" + p.User
	}
	return "key/" + p.Key
}

// May tells whether the principal may do that. A key may do what its scopes and
// the bindings to it allow, and only what its owner may, too. It allocates nothing.
func (p *Principal) May(v access.Verb, to access.Resource) bool {
	s := p.table.now.Load()
	if p.Kind == OfKey {
		if !p.scopes.Allows(v, to) && !s.keyGrants(p.Key).Allows(v, to) {
			return false
		}
		if p.User == "" {
			return true
		}
	}
	g, ok := s.userGrants(p.User)
	return ok && g.Allows(v, to)
}

// Explain is May with the reason.
func (p *Principal) Explain(v access.Verb, to access.Resource) access.Decision {
	return p.ExplainBy(v, to, func(string) bool { return true })
}

// ExplainBy is Explain by those bindings alone that are in tenants, "" for the whole
// cluster, of which seen is true: for one who may not know of the others.
func (p *Principal) ExplainBy(v access.Verb, to access.Resource, seen func(tenant string) bool) access.Decision {
	s := p.table.now.Load()
	d := known(s.ownGrants(p), seen).Decide(v, to)
	d.Subject = p.subject()
	if !d.Allowed || p.Kind == OfSession || p.User == "" {
		return d
	}
	g, ok := s.userGrants(p.User)
	owners := known(*g, seen).Decide(v, to)
	if owners.Allowed {
		return d
	}
	owners.Subject = "user:" + p.User
	if !ok {
		owners.Text = "The key's owner, user:" + p.User + ", is disabled or gone."
		return owners
	}
	owners.Text = "The key's owner, user:" + p.User + ", may not do it: " + owners.Text
	return owners
}

func known(g access.Grants, seen func(tenant string) bool) access.Grants {
	var out []access.Grant
	for _, grant := range g.List() {
		if grant.Binding == "" || seen(grant.Tenant) {
			out = append(out, grant)
		}
	}
	if len(out) == len(g.List()) {
		return g
	}
	return access.NewGrants(out...)
}

func (p *Principal) subject() string {
	if p.Kind == OfSession {
		return "user:" + p.User
	}
	return "key:" + p.Key
}

// Covers tells whether the principal has all that g gives, and so may give it to
// others or act on one who has it; else what is missing.
func (p *Principal) Covers(g access.Grants) (missing access.Permission, ok bool) {
	s := p.table.now.Load()
	if missing, ok = s.ownGrants(p).Covers(g); !ok || p.Kind == OfSession || p.User == "" {
		return missing, ok
	}
	owners, _ := s.userGrants(p.User)
	return owners.Covers(g)
}

// MayUse tells whether the principal may send requests to a deployment of that
// name and owner.
func (p *Principal) MayUse(name string, tenant string) bool {
	return p.modelAllowed(name) && p.May(access.Infer, access.Resource{Kind: access.KindModel, Name: name, Tenant: tenant})
}

// Lists tells whether /v1/models shows the principal a deployment of that name and owner.
func (p *Principal) Lists(name string, tenant string) bool {
	return p.modelAllowed(name) && p.May(access.ModelsList, access.Resource{Kind: access.KindModel, Name: name, Tenant: tenant})
}

// Sees tells whether the principal may know that there is something of that
// tenant: its own, nobody's, or where it may do anything.
func (p *Principal) Sees(tenant string) bool {
	if tenant == "" || tenant == p.Tenant {
		return true
	}
	s := p.table.now.Load()
	if p.Kind == OfKey {
		if !p.scopes.Sees(tenant) && !s.keyGrants(p.Key).Sees(tenant) {
			return false
		}
		if p.User == "" {
			return true
		}
	}
	g, _ := s.userGrants(p.User)
	return g.Sees(tenant)
}

// Models is the patterns of models that the principal is limited to; empty: it is
// not. It must not be changed.
func (p *Principal) Models() []string {
	if p.confines == nil {
		return nil
	}
	return p.confines.models
}

// MaxAge is how old the state may be by which the principal is let in.
func (p *Principal) MaxAge() time.Duration {
	if t := ref(p.table.now.Load().tenants, p.Tenant); t != nil {
		return t.maxAge
	}
	return DefaultMaxAge
}

// LimitOf is the id of a key's limit on requests.
func LimitOf(key string) string { return "key/" + key + "/rpm" }
