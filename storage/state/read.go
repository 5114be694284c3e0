package state

import "github.com/lotabots/lotabots/cluster/wire"

// Reads give copies that nobody else has, but callers pass them on: nobody may
// change one. Lists are in the order of their names. They panic where the
// database fails.

// current reads the generation in force. Nothing removes a generation between
// the look at its number and the read.
func current[T any](s *Store, read func(view) T) T {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return read(view{s.db.Pebble(), generationPrefix(s.mu.generation)})
}

func one[M any](s *Store, read func(view) (M, bool)) (M, bool) {
	type found struct {
		m  M
		ok bool
	}
	f := current(s, func(v view) found {
		m, ok := read(v)
		return found{m, ok}
	})
	return f.m, f.ok
}

// Node returns the record of a node, removed ones included.
func (s *Store) Node(id string) (*wire.Node, bool) {
	return one(s, func(v view) (*wire.Node, bool) { return nodes.get(v, id) })
}

// Nodes returns every node, removed ones included.
func (s *Store) Nodes() []*wire.Node { return current(s, nodes.all) }

// Tenant returns one tenant.
func (s *Store) Tenant(id string) (*wire.Tenant, bool) {
	return one(s, func(v view) (*wire.Tenant, bool) { return tenants.get(v, id) })
}

// Tenants returns every tenant.
func (s *Store) Tenants() []*wire.Tenant { return current(s, tenants.all) }

// Key returns the API key of that id, revoked and expired ones included.
func (s *Store) Key(id string) (*wire.APIKey, bool) {
	return one(s, func(v view) (*wire.APIKey, bool) { return apiKeys.get(v, id) })
}

// Deployment returns one deployment.
func (s *Store) Deployment(name string) (*wire.Deployment, bool) {
	return one(s, func(v view) (*wire.Deployment, bool) { return deploys.get(v, name) })
}

// Deployments returns every deployment.
func (s *Store) Deployments() []*wire.Deployment { return current(s, deploys.all) }

// Placement returns the placement of one instance.
func (s *Store) Placement(instance string) (*wire.Placement, bool) {
	return one(s, func(v view) (*wire.Placement, bool) { return placements.get(v, instance) })
}

// Placements returns every placement.
func (s *Store) Placements() []*wire.Placement { return current(s, placements.all) }

// Model returns one model.
func (s *Store) Model(name string) (*wire.Model, bool) {
	return one(s, func(v view) (*wire.Model, bool) { return models.get(v, name) })
}

// Models returns every model.
func (s *Store) Models() []*wire.Model { return current(s, models.all) }

// Token returns one join token, spent and revoked ones included.
func (s *Store) Token(id string) (*wire.JoinToken, bool) {
	return one(s, func(v view) (*wire.JoinToken, bool) { return tokens.get(v, id) })
}

// Tokens returns every join token.
func (s *Store) Tokens() []*wire.JoinToken { return current(s, tokens.all) }

// Secret returns one sealed secret.
func (s *Store) Secret(name string) (*wire.Secret, bool) {
	return one(s, func(v view) (*wire.Secret, bool) { return secrets.get(v, name) })
}

// Setting returns the value of one setting.
func (s *Store) Setting(name string) (string, bool) {
	return one(s, func(v view) (string, bool) {
		raw, ok := v.value(append([]byte{settingsTable}, name...))
		return string(raw), ok
	})
}
