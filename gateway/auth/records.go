package auth

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/access"
)

// DefaultMaxAge is how old the state may be where a tenant says nothing.
const DefaultMaxAge = 900 * time.Second

// StrictMaxAge is what a strict tenant gets: enough for the state feed's own
// beat, and for nothing else.
const StrictMaxAge = 2 * time.Second

// A tenant is what the table keeps of one.
type tenant struct {
	name   string // its id
	maxAge time.Duration
}

func (t *tenant) id() string { return t.name }

// maxAgeOf reads a tenant's allowed age: the record cannot tell 0 from unset,
// so 0 means the default and a negative number means strict.
func maxAgeOf(tn *wire.Tenant) time.Duration {
	switch s := tn.GetAuthMaxAgeS(); {
	case s == 0:
		return DefaultMaxAge
	case s < 0:
		return StrictMaxAge
	default:
		return time.Duration(s) * time.Second
	}
}

// resolved is what follows from several records, as of one generation of them.
type resolved struct {
	generation uint64
	grants     access.Grants
}

// A user is what the table keeps of one.
type user struct {
	key      string // its id
	tenant   string
	name     string
	groups   []string
	disabled bool
	resolved atomic.Pointer[resolved]
}

func (u *user) id() string { return u.key }

func userOf(u *wire.User) *user {
	return &user{key: u.GetId(), tenant: u.GetTenant(), name: u.GetName(), groups: u.GetGroups(), disabled: u.GetDisabledMs() != 0}
}

// A role is a custom one.
type role struct {
	key         string // its id
	tenant      string // owner; empty: the cluster
	permissions []access.Permission
}

func (r *role) id() string { return r.key }

func roleOf(r *wire.AccessRole) *role {
	return &role{key: r.GetId(), tenant: r.GetTenant(), permissions: Permissions(r)}
}

// Permissions is a role's, as gateway/access has them.
func Permissions(r *wire.AccessRole) []access.Permission {
	out := make([]access.Permission, 0, len(r.GetPermissions()))
	for _, p := range r.GetPermissions() {
		out = append(out, access.Permission{Verb: p.GetVerb(), Resource: p.GetResource()})
	}
	return out
}

// A binding is one of the state's.
type binding struct {
	key     string // its id
	subject string
	role    string
	tenant  string
}

func (b *binding) id() string { return b.key }

// A subject is all that is bound to one: user:ID, group:NAME or key:ID.
type subject struct {
	name     string
	bindings []*binding
	resolved atomic.Pointer[resolved] // of a key: users keep their own, with their groups'
}

func (s *subject) id() string { return s.name }

// A session is what the table keeps of one.
type session struct {
	key     string // its id
	user    string
	epoch   uint64
	expires int64 // Unix ms
	revoked bool
	who     atomic.Pointer[Principal] // made at the first request
}

func (s *session) id() string { return s.key }

func sessionOf(s *wire.Session) *session {
	return &session{key: s.GetId(), user: s.GetUser(), epoch: s.GetEpoch(), expires: s.GetExpiresMs(), revoked: s.GetRevokedMs() != 0}
}

// keyOf makes the principal of a key. scopes come from the table, which shares them.
func (t *Table) keyOf(k *wire.APIKey, scopes *access.Grants) *Principal {
	p := &Principal{
		Kind: OfKey, Key: k.GetId(), User: k.GetOwner(), Tenant: k.GetTenant(), Name: k.GetName(), PerMin: k.GetRequestsPerMinute(),
		table: t, scopes: scopes, confines: confinesOf(k),
		expires: k.GetExpiresMs(), revoked: k.GetRevokedMs() != 0 || len(k.GetHash()) != 32,
	}
	if p.PerMin > 0 {
		p.Limit = LimitOf(p.Key)
	}
	copy(p.hash[:], k.GetHash())
	if len(k.GetPreviousHash()) == 32 {
		p.previous = &previous{until: k.GetPreviousUntilMs()}
		copy(p.previous.hash[:], k.GetPreviousHash())
	}
	return p
}

func scopesKey(k *wire.APIKey) string {
	return k.GetTenant() + "\x00" + strings.Join(k.GetScopes(), "\x00")
}
