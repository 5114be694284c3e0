package auth

import (
	"crypto/sha256"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/access"
	"github.com/lotabots/lotabots/gateway/limit"
)

// DefaultMaxAge is how old the state may be where a tenant says nothing.
const DefaultMaxAge = 900 * time.Second

// StrictMaxAge is what a strict tenant gets: enough for the state feed's own
// beat, and for nothing else.
const StrictMaxAge = 2 * time.Second

// A tenant is what the table keeps of one.
type tenant struct {
	key    string // its id
	maxAge time.Duration
}

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

func userOf(u *wire.User) *user {
	return &user{key: u.GetId(), tenant: u.GetTenant(), name: u.GetName(), groups: u.GetGroups(), disabled: u.GetDisabledMs() != 0}
}

// A role is a custom one.
type role struct {
	key         string // its id
	tenant      string // owner; empty: the cluster
	permissions []access.Permission
}

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

// A subject is all that is bound to one.
type subject struct {
	key      string // user:ID, group:NAME, key:ID
	bindings []*binding
	resolved atomic.Pointer[resolved] // of a key: users keep their own, with their groups'
}

// A session is what the table keeps of one.
type session struct {
	key     string // its id
	user    string
	epoch   uint64
	expires int64 // Unix ms
	revoked bool
	who     atomic.Pointer[Principal] // made at the first request
}

func sessionOf(s *wire.Session) *session {
	return &session{key: s.GetId(), user: s.GetUser(), epoch: s.GetEpoch(), expires: s.GetExpiresMs(), revoked: s.GetRevokedMs() != 0}
}

// shared is what keys of one tenant with the same scopes have in common.
type shared struct {
	tenant string
	scopes access.Grants
}

// A key is what proves one. With the hash of its id it takes 64 bytes in the
// index, a line of a CPU's caches: who has it is read by those whom it proves.
type key struct {
	hash     [sha256.Size]byte
	expires  int64 // Unix ms; 0: never
	who      *Principal
	revoked  bool
	owned    bool // the owner must be there, and enabled
	previous bool // there is one, in the table's second index
}

// previous is the secret before the last rotation.
type previous struct {
	key   string // id
	hash  [sha256.Size]byte
	until int64 // Unix ms
}

func previousOf(k *wire.APIKey) *previous {
	if len(k.GetPreviousHash()) != sha256.Size {
		return nil
	}
	p := &previous{key: k.GetId(), until: k.GetPreviousUntilMs()}
	copy(p.hash[:], k.GetPreviousHash())
	return p
}

func (t *Table) keyOf(k *wire.APIKey, common *shared) key {
	out := key{
		expires: k.GetExpiresMs(), who: t.principalOf(k, common), owned: k.GetOwner() != "",
		revoked:  k.GetRevokedMs() != 0 || len(k.GetHash()) != sha256.Size,
		previous: len(k.GetPreviousHash()) == sha256.Size,
	}
	copy(out.hash[:], k.GetHash())
	return out
}

// principalOf puts the key's texts into one, so that a million keys are not two
// million small objects more.
func (t *Table) principalOf(k *wire.APIKey, common *shared) *Principal {
	id, name := k.GetId(), k.GetName()
	text := LimitOf(id) + name
	of := len(text) - len(name)
	at := strings.Index(text, "/") + 1
	p := &Principal{
		Kind: OfKey, Key: text[at : at+len(id)], Name: text[of:], User: strings.Clone(k.GetOwner()), Tenant: common.tenant,
		PerMin: k.GetRequestsPerMinute(), table: t, scopes: &common.scopes, confines: confinesOf(k),
	}
	if p.PerMin > 0 {
		p.Limit = text[:of]
	}
	if l := k.GetLimits(); l != nil {
		p.Deny, p.Limits = l.GetOnPartition() == "deny", limit.Of(limit.OfKey, p.Key, l)
	}
	return p
}

func sharedKey(k *wire.APIKey) string {
	return k.GetTenant() + "\x00" + strings.Join(k.GetScopes(), "\x00")
}
