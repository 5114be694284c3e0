package auth

import (
	"strings"

	"github.com/lotabots/lotabots/gateway/access"
)

// Lookup returns the key of that id, in force or not.
func (t *Table) Lookup(id string) (*Principal, bool) {
	if k := t.now.Load().keys.get(id); k != nil {
		return k.who, true
	}
	return nil, false
}

// InForce tells whether the key of that id is known and not revoked.
func (t *Table) InForce(id string) bool {
	k := t.now.Load().keys.get(id)
	return k != nil && !k.revoked
}

// Subject returns the principal that stands for user:ID or key:ID, in force or
// not, to ask what it may do.
func (t *Table) Subject(subject string) (*Principal, bool) {
	kind, id, _ := strings.Cut(subject, ":")
	switch kind {
	case "key":
		return t.Lookup(id)
	case "user":
		if u := ref(t.now.Load().users, id); u != nil {
			return &Principal{Kind: OfSession, User: id, Tenant: u.tenant, Name: u.name, table: t, of: u, scopes: nothing}, true
		}
	}
	return nil, false
}

// GrantsOf is what a user may do, also one that is disabled, or what a key's
// scopes and bindings give it, or what is bound to a group. Whoever acts on one
// (sets its password, say) must cover it.
func (t *Table) GrantsOf(subject string) access.Grants {
	s := t.now.Load()
	all := s.grantsTo(nil, subject)
	kind, id, _ := strings.Cut(subject, ":")
	switch kind {
	case "key":
		if k := s.keys.get(id); k != nil {
			all = append(all, k.who.scopes.List()...)
		}
	case "user":
		if u := ref(s.users, id); u != nil {
			for _, name := range u.groups {
				all = s.grantsTo(all, "group:"+name)
			}
		}
	}
	return access.NewGrants(all...)
}

// Grant is what a role, built-in or custom, gives when it is bound in that
// tenant; empty: in the whole cluster. Not ok: there is no such role, or it is
// another tenant's.
func (t *Table) Grant(role, tenant string) (access.Grant, bool) {
	return t.now.Load().grant(role, tenant)
}
