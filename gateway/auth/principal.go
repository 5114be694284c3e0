package auth

import (
	"fmt"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
)

// A Scope is a set of things that a key may do.
type Scope uint8

// The scopes. An admin may do everything.
const (
	Infer Scope = 1 << iota
	Admin
	Metrics
	Topology // sees which node served a request
)

var scopeNames = map[string]Scope{"infer": Infer, "admin": Admin, "metrics": Metrics, "topology": Topology}

// ScopeOf returns the scope of that name.
func ScopeOf(name string) (Scope, error) {
	if s, ok := scopeNames[name]; ok {
		return s, nil
	}
	return 0, fmt.Errorf("scope %q: want infer, admin, metrics or topology", name)
}

// A Principal is who sends a request. It is never changed once made.
type Principal struct {
	Key      string
	Tenant   string
	Name     string
	PerMin   uint32        // requests per minute; 0: no limit
	Limit    string        // the limit's id, as of LimitOf
	MaxAge   time.Duration // how old the state may be for this tenant
	scopes   Scope
	patterns []string
	hash     [32]byte
	expires  int64 // Unix ms; 0: never
	revoked  bool
}

// May tells whether the principal has the scope.
func (p *Principal) May(s Scope) bool { return p.scopes&(s|Admin) != 0 }

// MayUse tells whether the principal may use a deployment of that name and owner.
func (p *Principal) MayUse(name string, tenant string) bool {
	return p.Sees(tenant) && p.allowed(name)
}

// Sees tells whether the principal may know of a deployment of that owner.
func (p *Principal) Sees(tenant string) bool {
	return tenant == "" || tenant == p.Tenant || p.scopes&Admin != 0
}

func (p *Principal) allowed(name string) bool {
	if len(p.patterns) == 0 {
		return true
	}
	for _, pat := range p.patterns {
		if Match(pat, name) {
			return true
		}
	}
	return false
}

// LimitOf is the id of a key's limit on requests.
func LimitOf(key string) string { return "key/" + key + "/rpm" }

func principalOf(k *wire.APIKey, maxAge time.Duration) *Principal {
	p := &Principal{
		Key: k.GetId(), Tenant: k.GetTenant(), Name: k.GetName(),
		PerMin: k.GetRequestsPerMinute(), Limit: LimitOf(k.GetId()),
		MaxAge: maxAge, patterns: k.GetModels(),
		expires: k.GetExpiresMs(), revoked: k.GetRevokedMs() != 0 || len(k.GetHash()) != 32,
	}
	copy(p.hash[:], k.GetHash())
	for _, name := range k.GetScopes() {
		p.scopes |= scopeNames[name] // one that this build does not know gives nothing
	}
	return p
}

// String names a single scope.
func (s Scope) String() string {
	for name, have := range scopeNames {
		if have == s {
			return name
		}
	}
	return "none"
}
