package auth

import (
	"fmt"
	"slices"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/access"
)

// What callers still use by its former name; it goes when they have moved.

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

// String names a single scope.
func (s Scope) String() string {
	for name, have := range scopeNames {
		if have == s {
			return name
		}
	}
	return "none"
}

// MayScope tells whether the principal may do what the scope stands for.
func (p *Principal) MayScope(s Scope) bool {
	switch s {
	case Infer:
		return p.May(access.Infer, access.In(p.Tenant))
	case Metrics:
		return p.May(access.MetricsRead, access.Cluster)
	case Topology:
		return p.May(access.TopologyRead, access.In(p.Tenant))
	}
	return p.May(access.OwnersWrite, access.Cluster)
}

// NewTable returns a table that lets no access token in.
func NewTable() *Table { return New("") }

// Put is PutKey.
func (t *Table) Put(k *wire.APIKey) { t.PutKey(k) }

// Remove is RemoveKey.
func (t *Table) Remove(id string) { t.RemoveKey(id) }

// Reset is Load of keys and tenants alone.
func (t *Table) Reset(keys []*wire.APIKey, tenants []*wire.Tenant) {
	_ = t.Load(Records{Keys: slices.Values(keys), Tenants: slices.Values(tenants)})
}
