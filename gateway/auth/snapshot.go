package auth

import (
	"strings"

	"github.com/lotabots/lotabots/gateway/access"
)

// A snapshot is all that the table knows, as of one change. It is never changed
// once readers have it, but for what its records keep as worked out.
type snapshot struct {
	keys     *index[key]
	previous *index[*previous] // of keys that were rotated
	tenants  *index[*tenant]
	users    *index[*user]
	roles    *index[*role]
	bindings *index[*binding]
	subjects *index[*subject]
	sessions *index[*session]
	signing  *signing
	epoch    uint64
	// generation rises with each change of users, roles or bindings.
	generation uint64
	// keysBound is how many keys have bindings: mostly none, and then none is looked for.
	keysBound int
}

func newSnapshot() *snapshot {
	return &snapshot{
		keys:     &index[key]{idOf: func(k *key) string { return k.who.Key }},
		previous: &index[*previous]{idOf: func(p **previous) string { return (*p).key }},
		tenants:  &index[*tenant]{idOf: func(t **tenant) string { return (*t).key }},
		users:    &index[*user]{idOf: func(u **user) string { return (*u).key }},
		roles:    &index[*role]{idOf: func(r **role) string { return (*r).key }},
		bindings: &index[*binding]{idOf: func(b **binding) string { return (*b).key }},
		subjects: &index[*subject]{idOf: func(s **subject) string { return (*s).key }},
		sessions: &index[*session]{idOf: func(s **session) string { return (*s).key }},
		signing:  new(signing),
	}
}

var nothing = new(access.Grants)

// userGrants is what a user may do, by its own bindings and its groups'. Not ok:
// there is none, or it is disabled, and may do nothing.
func (s *snapshot) userGrants(id string) (g *access.Grants, ok bool) {
	u := ref(s.users, id)
	if u == nil || u.disabled {
		return nothing, false
	}
	if r := u.resolved.Load(); r != nil && r.generation == s.generation {
		return &r.grants, true
	}
	all := s.grantsTo(nil, "user:"+id)
	for _, name := range u.groups {
		all = s.grantsTo(all, "group:"+name)
	}
	r := &resolved{s.generation, access.NewGrants(all...)}
	u.resolved.Store(r)
	return &r.grants, true
}

// keyGrants is what bindings to a key give it.
func (s *snapshot) keyGrants(id string) *access.Grants {
	if s.keysBound == 0 {
		return nothing
	}
	const kind = "key:"
	var text [len(kind) + maxID]byte
	if len(id) > maxID {
		return nothing
	}
	n := copy(text[:], kind)
	n += copy(text[n:], id)
	sub := ref(s.subjects, borrow(text[:n]))
	if sub == nil {
		return nothing
	}
	if r := sub.resolved.Load(); r != nil && r.generation == s.generation {
		return &r.grants
	}
	r := &resolved{s.generation, access.NewGrants(s.grantsTo(nil, sub.key)...)}
	sub.resolved.Store(r)
	return &r.grants
}

func (s *snapshot) grantsTo(all []access.Grant, subject string) []access.Grant {
	sub := ref(s.subjects, subject)
	if sub == nil {
		return all
	}
	for _, b := range sub.bindings {
		if g, ok := s.grant(b.role, b.tenant); ok {
			g.Binding = b.key
			all = append(all, g)
		}
	}
	return all
}

// grant is a role as bound in a tenant. A tenant's own role holds there alone:
// who may change it may not say what it does elsewhere.
func (s *snapshot) grant(id, tenant string) (access.Grant, bool) {
	g := access.Grant{Role: id, Tenant: tenant}
	if r, ok := access.RoleOf(id); ok {
		g.Permissions = r.Permissions
		return g, true
	}
	r := ref(s.roles, id)
	if r == nil || r.tenant != "" && r.tenant != tenant {
		return g, false
	}
	g.Permissions = r.permissions
	return g, true
}

// ownGrants is what a key's scopes and bindings give, or what a session's user
// may do. For answers that explain: it allocates.
func (s *snapshot) ownGrants(p *Principal) access.Grants {
	if p.Kind == OfSession {
		g, _ := s.userGrants(p.User)
		return *g
	}
	bound := s.keyGrants(p.Key)
	if len(bound.List()) == 0 {
		return *p.scopes
	}
	return access.NewGrants(append(append([]access.Grant(nil), p.scopes.List()...), bound.List()...)...)
}

func isKey(subject string) bool { return strings.HasPrefix(subject, "key:") }
