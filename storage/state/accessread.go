package state

import "github.com/lotabots/lotabots/cluster/wire"

// Every page is a walk of an index from the cursor on: its cost is that of the
// page, whatever else there is. A limit below 1 means 100.

// User returns one user.
func (s *Store) User(id string) (*wire.User, bool) {
	return one(s, func(v view) (*wire.User, bool) { return users.get(v, id) })
}

// UserByName returns the user who logs in by that name.
func (s *Store) UserByName(name string) (*wire.User, bool) {
	return one(s, func(v view) (*wire.User, bool) { return users.first(v, indexKey(byUserName, folded(name), "")) })
}

// UserBySubject returns the user whom an OIDC provider calls by that subject.
func (s *Store) UserBySubject(issuer, subject string) (*wire.User, bool) {
	return one(s, func(v view) (*wire.User, bool) { return users.first(v, indexKey(byUserSubject, issuer, subject, "")) })
}

// first is the record that an index names first under prefix.
func (t *table[M]) first(v view, prefix []byte) (m M, ok bool) {
	v.walk(prefix, nil, func(key, _ []byte) bool {
		m, ok = t.get(v, string(key[len(prefix):]))
		return !ok
	})
	return m, ok
}

// Users returns a page of the users whose home is a tenant, or of all for "", by id.
func (s *Store) Users(tenant, cursor string, limit int) (page []*wire.User, next string) {
	if tenant == "" {
		return users.page(s, cursor, limit)
	}
	return users.pageBy(s, indexKey(byUserTenant, tenant, ""), cursor, limit)
}

// Role returns one role that is not built in.
func (s *Store) Role(id string) (*wire.AccessRole, bool) {
	return one(s, func(v view) (*wire.AccessRole, bool) { return roles.get(v, id) })
}

// Roles returns a page of all roles that are not built in, by id.
func (s *Store) Roles(cursor string, limit int) (page []*wire.AccessRole, next string) {
	return roles.page(s, cursor, limit)
}

// RolesOf returns a page of the roles that a tenant owns, or for "" the cluster, by id.
func (s *Store) RolesOf(tenant, cursor string, limit int) (page []*wire.AccessRole, next string) {
	return roles.pageBy(s, indexKey(byRoleTenant, tenant, ""), cursor, limit)
}

// Binding returns one binding.
func (s *Store) Binding(id string) (*wire.Binding, bool) {
	return one(s, func(v view) (*wire.Binding, bool) { return bindings.get(v, id) })
}

// Bindings returns a page of all bindings, by id.
func (s *Store) Bindings(cursor string, limit int) (page []*wire.Binding, next string) {
	return bindings.page(s, cursor, limit)
}

// BindingsOf returns a page of the bindings of a subject (user:ID, group:NAME,
// key:ID), by id.
func (s *Store) BindingsOf(subject, cursor string, limit int) (page []*wire.Binding, next string) {
	return bindings.pageBy(s, indexKey(byBindingSubject, subject, ""), cursor, limit)
}

// BindingsIn returns a page of the bindings in a tenant, or for "" of those that
// hold in the whole cluster, by id.
func (s *Store) BindingsIn(tenant, cursor string, limit int) (page []*wire.Binding, next string) {
	return bindings.pageBy(s, indexKey(byBindingTenant, tenant, ""), cursor, limit)
}

// BindingsTo returns a page of the bindings that give a role, by id.
func (s *Store) BindingsTo(role, cursor string, limit int) (page []*wire.Binding, next string) {
	return bindings.pageBy(s, indexKey(byBindingRole, role, ""), cursor, limit)
}

// Session returns one session. One that has ended is known for a day more.
func (s *Store) Session(id string) (*wire.Session, bool) {
	return one(s, func(v view) (*wire.Session, bool) { return sessions.get(v, id) })
}

// Sessions returns a page of all sessions, by id.
func (s *Store) Sessions(cursor string, limit int) (page []*wire.Session, next string) {
	return sessions.page(s, cursor, limit)
}

// SessionsOf returns a page of a user's sessions, by id.
func (s *Store) SessionsOf(user, cursor string, limit int) (page []*wire.Session, next string) {
	return sessions.pageBy(s, indexKey(bySessionUser, user, ""), cursor, limit)
}

// KeysOf returns a page of the API keys that a user owns, revoked and expired ones
// included, by id.
func (s *Store) KeysOf(owner, cursor string, limit int) (page []*wire.APIKey, next string) {
	return apiKeys.pageBy(s, indexKey(byKeyOwner, owner, ""), cursor, limit)
}

// LastUsed is when an API key was last used, Unix milliseconds, as far as the
// gateways have told; 0 where they have told nothing.
func (s *Store) LastUsed(key string) int64 {
	return current(s, func(v view) int64 { return int64(v.number(usesTable, key)) })
}
