package auth

import (
	"slices"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/access"
)

// Somewhere tells whether the principal may do the verb to anything at all. It
// allocates nothing.
func (p *Principal) Somewhere(v access.Verb) bool {
	s := p.table.now.Load()
	if p.Kind == OfKey {
		if !p.scopes.Somewhere(v) && !s.keyGrants(p.Key).Somewhere(v) {
			return false
		}
		if p.User == "" {
			return true
		}
	}
	g, ok := s.userGrants(p.User)
	return ok && g.Somewhere(v)
}

// Where is access.Grants.Where of the principal: of an owned key, where its own
// and its owner's grants have it.
func (p *Principal) Where(v access.Verb) (everywhere bool, tenants []string) {
	s := p.table.now.Load()
	everywhere, tenants = s.ownGrants(p).Where(v)
	if p.Kind == OfSession || p.User == "" {
		return everywhere, tenants
	}
	owners, _ := s.userGrants(p.User)
	wide, theirs := owners.Where(v)
	switch {
	case wide:
		return everywhere, tenants
	case everywhere:
		return false, theirs
	}
	return false, slices.DeleteFunc(tenants, func(t string) bool { return !slices.Contains(theirs, t) })
}

// AnyAddress tells whether the principal may come from anywhere.
func (p *Principal) AnyAddress() bool {
	return p.confines == nil || len(p.confines.addresses) == 0 && !p.confines.noAddress
}

// Grants is what the principal has been given, for it to be shown: of an owned
// key, its own, which the owner's narrow.
func (p *Principal) Grants() access.Grants { return p.table.now.Load().ownGrants(p) }

// MaxAgeOf is how old the state may be by which the tenant's credentials are let
// in; nil is a tenant without a record.
func MaxAgeOf(tn *wire.Tenant) time.Duration { return maxAgeOf(tn) }

// NewSecret makes another secret for a key: the key's text, to be shown once, and
// the hash to keep.
func NewSecret(id string) (text string, hash [32]byte) {
	fresh, _, hash := NewText()
	parsed, _ := Parse([]byte(fresh))
	return Format(id, string(parsed.Secret)), hash
}
