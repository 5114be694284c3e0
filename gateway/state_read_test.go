package gateway_test

import (
	"fmt"
	"maps"
	"slices"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
)

// paged is a page of those that fit, by id, as the state's indexes give it.
func paged[R any](s *state, m map[string]R, cursor string, limit int, fits func(R) bool) (page []R, next string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := ""
	for _, id := range slices.Sorted(maps.Keys(m)) {
		if id <= cursor || fits != nil && !fits(m[id]) {
			continue
		}
		if len(page) == limit {
			return page, last
		}
		page, last = append(page, m[id]), id
		s.read++
	}
	return page, ""
}

func (s *state) Node(id string) (*wire.Node, bool)               { return pick(s, s.nodes, id) }
func (s *state) Tenant(id string) (*wire.Tenant, bool)           { return pick(s, s.tenants, id) }
func (s *state) Key(id string) (*wire.APIKey, bool)              { return pick(s, s.keys, id) }
func (s *state) Deployment(name string) (*wire.Deployment, bool) { return pick(s, s.deployments, name) }
func (s *state) Model(name string) (*wire.Model, bool)           { return pick(s, s.models, name) }
func (s *state) User(id string) (*wire.User, bool)               { return pick(s, s.users, id) }
func (s *state) Role(id string) (*wire.AccessRole, bool)         { return pick(s, s.roles, id) }
func (s *state) Binding(id string) (*wire.Binding, bool)         { return pick(s, s.bindings, id) }
func (s *state) Session(id string) (*wire.Session, bool)         { return pick(s, s.sessions, id) }
func (s *state) Secret(name string) (*wire.Secret, bool)         { return pick(s, s.secrets, name) }
func (s *state) Token(id string) (*wire.JoinToken, bool)         { return pick(s, s.tokens, id) }

func (s *state) Setting(name string) (string, bool) {
	v, ok := pick(s, s.settings, name)
	return v.Value, ok
}

func (s *state) LastUsed(key string) int64 {
	at, _ := pick(s, s.used, key)
	return at
}

func (s *state) UserByName(name string) (*wire.User, bool) {
	page, _ := paged(s, s.users, "", 1, func(u *wire.User) bool { return u.Name == name })
	if len(page) == 0 {
		return nil, false
	}
	return page[0], true
}

func (s *state) Keys(tenant, cursor string, limit int) ([]*wire.APIKey, string) {
	return paged(s, s.keys, cursor, limit, func(k *wire.APIKey) bool { return tenant == "" || k.Tenant == tenant })
}

func (s *state) KeysOf(owner, cursor string, limit int) ([]*wire.APIKey, string) {
	return paged(s, s.keys, cursor, limit, func(k *wire.APIKey) bool { return k.Owner == owner })
}

func (s *state) TenantsPage(cursor string, limit int) ([]*wire.Tenant, string) {
	return paged(s, s.tenants, cursor, limit, nil)
}

func (s *state) Users(tenant, cursor string, limit int) ([]*wire.User, string) {
	return paged(s, s.users, cursor, limit, func(u *wire.User) bool { return tenant == "" || u.Tenant == tenant })
}

func (s *state) Roles(cursor string, limit int) ([]*wire.AccessRole, string) {
	return paged(s, s.roles, cursor, limit, nil)
}

func (s *state) RolesOf(tenant, cursor string, limit int) ([]*wire.AccessRole, string) {
	return paged(s, s.roles, cursor, limit, func(a *wire.AccessRole) bool { return a.Tenant == tenant })
}

func (s *state) Bindings(cursor string, limit int) ([]*wire.Binding, string) {
	return paged(s, s.bindings, cursor, limit, nil)
}

func (s *state) BindingsOf(subject, cursor string, limit int) ([]*wire.Binding, string) {
	return paged(s, s.bindings, cursor, limit, func(b *wire.Binding) bool { return b.Subject == subject })
}

func (s *state) BindingsIn(tenant, cursor string, limit int) ([]*wire.Binding, string) {
	return paged(s, s.bindings, cursor, limit, func(b *wire.Binding) bool { return b.Tenant == tenant })
}

func (s *state) Sessions(cursor string, limit int) ([]*wire.Session, string) {
	return paged(s, s.sessions, cursor, limit, nil)
}

func (s *state) SessionsOf(user, cursor string, limit int) ([]*wire.Session, string) {
	return paged(s, s.sessions, cursor, limit, func(in *wire.Session) bool { return in.User == user })
}

func (s *state) DeploymentsPage(tenant, cursor string, limit int) ([]*wire.Deployment, string) {
	return paged(s, s.deployments, cursor, limit, func(d *wire.Deployment) bool { return tenant == "" || d.Tenant == tenant })
}

func (s *state) DeploymentsOf(tenant, cursor string, limit int) ([]*wire.Deployment, string) {
	return paged(s, s.deployments, cursor, limit, func(d *wire.Deployment) bool { return d.Tenant == tenant })
}

func (s *state) PlacementsPage(cursor string, limit int) ([]*wire.Placement, string) {
	return paged(s, s.placements, cursor, limit, nil)
}

func (s *state) ModelsPage(cursor string, limit int) ([]*wire.Model, string) {
	return paged(s, s.models, cursor, limit, nil)
}

func (s *state) TokensPage(cursor string, limit int) ([]*wire.JoinToken, string) {
	return paged(s, s.tokens, cursor, limit, nil)
}

func (s *state) SettingsPage(cursor string, limit int) ([]gateway.Setting, string) {
	return paged(s, s.settings, cursor, limit, nil)
}

// Audit gives entries by number; cursors are numbers.
func (s *state) Audit(f gateway.AuditFilter, cursor string, limit int) (page []*wire.AuditEntry, next string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	log := slices.Clone(s.audit)
	if f.Newest {
		slices.Reverse(log)
	}
	skip := cursor != ""
	for _, e := range log {
		if skip {
			skip = fmt.Sprintf("%016x", e.Seq) != cursor
			continue
		}
		if f.Actor != "" && e.Actor != f.Actor || f.Target != "" && e.Target != f.Target || f.Tenant != "" && e.Tenant != f.Tenant ||
			f.FromMS > 0 && e.AtMs < f.FromMS || f.ToMS > 0 && e.AtMs >= f.ToMS {
			continue
		}
		if len(page) == limit {
			return page, fmt.Sprintf("%016x", page[limit-1].Seq)
		}
		page = append(page, e)
	}
	return page, ""
}

func (s *state) AuditHead() (uint64, []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.audit) == 0 {
		return 0, nil
	}
	last := s.audit[len(s.audit)-1]
	return last.Seq, last.Hash
}

// verifyAudit looks at the numbers alone: the hashes are storage/state's.
func verifyAudit(entries []*wire.AuditEntry) error {
	for i, e := range entries {
		if i > 0 && e.Seq != entries[i-1].Seq+1 {
			return fmt.Errorf("entry %d follows %d", e.Seq, entries[i-1].Seq)
		}
	}
	return nil
}
