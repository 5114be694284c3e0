package state

import (
	"bytes"

	"github.com/lotabots/lotabots/cluster/wire"
)

// page is a page of all records of a kind, by name.
func (t *table[M]) page(s *Store, cursor string, limit int) (page []M, next string) {
	return pageOf(s, []byte{t.id}, cursor, limit, func(_ view, _ string, raw []byte) (M, bool) { return t.decode(raw), true })
}

// pageBy is a page of the records that an index names under prefix.
func (t *table[M]) pageBy(s *Store, prefix []byte, cursor string, limit int) (page []M, next string) {
	return pageOf(s, prefix, cursor, limit, func(v view, name string, _ []byte) (M, bool) { return t.get(v, name) })
}

// TenantsPage returns a page of all tenants, by id.
func (s *Store) TenantsPage(cursor string, limit int) (page []*wire.Tenant, next string) {
	return tenants.page(s, cursor, limit)
}

// NodesPage returns a page of all nodes, removed ones included, by id.
func (s *Store) NodesPage(cursor string, limit int) (page []*wire.Node, next string) {
	return nodes.page(s, cursor, limit)
}

// DeploymentsPage returns a page of a tenant's deployments, or of all for "", by name.
func (s *Store) DeploymentsPage(tenant, cursor string, limit int) (page []*wire.Deployment, next string) {
	if tenant == "" {
		return deploys.page(s, cursor, limit)
	}
	return s.DeploymentsOf(tenant, cursor, limit)
}

// DeploymentsOf returns a page of a tenant's deployments, or for "" of those that
// every tenant may use, by name.
func (s *Store) DeploymentsOf(tenant, cursor string, limit int) (page []*wire.Deployment, next string) {
	return deploys.pageBy(s, indexKey(byDeploymentTenant, tenant, ""), cursor, limit)
}

// PlacementsPage returns a page of all placements, by instance.
func (s *Store) PlacementsPage(cursor string, limit int) (page []*wire.Placement, next string) {
	return placements.page(s, cursor, limit)
}

// ModelsPage returns a page of all models, by name.
func (s *Store) ModelsPage(cursor string, limit int) (page []*wire.Model, next string) {
	return models.page(s, cursor, limit)
}

// TokensPage returns a page of all join tokens, by id.
func (s *Store) TokensPage(cursor string, limit int) (page []*wire.JoinToken, next string) {
	return tokens.page(s, cursor, limit)
}

// SettingsPage returns a page of all settings, by name.
func (s *Store) SettingsPage(cursor string, limit int) (page []Setting, next string) {
	return pageOf(s, []byte{settingsTable}, cursor, limit, func(_ view, name string, value []byte) (Setting, bool) {
		return Setting{name, string(bytes.Clone(value))}, true
	})
}
