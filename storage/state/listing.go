package state

import (
	"bytes"

	"github.com/lotabots/lotabots/cluster/wire"
)

// usualPage is how many records a listing gives that does not say.
const usualPage = 100

// A page is what a walk gives: cursors are the part of the keys after prefix.
// next is "" where nothing follows.
func pageOf[M any](s *Store, prefix []byte, cursor string, limit int, read func(v view, rest string, value []byte) (M, bool)) (page []M, next string) {
	if limit < 1 {
		limit = usualPage
	}
	type paged struct {
		page []M
		next string
	}
	got := current(s, func(v view) paged {
		var p paged
		last := ""
		v.walk(prefix, append(bytes.Clone(prefix), cursor...), func(key, value []byte) bool {
			rest := string(key[len(prefix):])
			if cursor != "" && rest == cursor {
				return true
			}
			m, ok := read(v, rest, value)
			if !ok {
				return true
			}
			if len(p.page) == limit { // one more tells that there is a next page
				p.next = last
				return false
			}
			p.page, last = append(p.page, m), rest
			return true
		})
		return p
	})
	return got.page, got.next
}

// Keys returns up to limit API keys of a tenant, or of all for "", whose ids
// come after cursor. next is the cursor of the page that follows, "" if there
// is none. A limit below 1 means 100.
func (s *Store) Keys(tenant, cursor string, limit int) (page []*wire.APIKey, next string) {
	if tenant == "" {
		return s.KeysByPrefix("", cursor, limit)
	}
	return pageOf(s, indexKey(byTenant, tenant, ""), cursor, limit, func(v view, id string, _ []byte) (*wire.APIKey, bool) {
		return apiKeys.get(v, id)
	})
}

// KeysByPrefix returns a page of the keys whose id, the public part of a key's
// text, begins with prefix, as Keys does. The cursor is its own.
func (s *Store) KeysByPrefix(prefix, cursor string, limit int) (page []*wire.APIKey, next string) {
	return pageOf(s, apiKeys.key(prefix), cursor, limit, func(_ view, _ string, raw []byte) (*wire.APIKey, bool) {
		return apiKeys.decode(raw), true
	})
}

// KeysByExpiry returns a page of the keys that expire, in the order in which they
// do, those that were revoked left out. The cursor is its own.
func (s *Store) KeysByExpiry(cursor string, limit int) (page []*wire.APIKey, next string) {
	return pageOf(s, []byte{byExpiry}, cursor, limit, func(v view, rest string, _ []byte) (*wire.APIKey, bool) {
		return apiKeys.get(v, rest[8:])
	})
}

// DeploymentsByModel returns a page of the deployments that run a model, by name.
func (s *Store) DeploymentsByModel(model, cursor string, limit int) (page []*wire.Deployment, next string) {
	return pageOf(s, indexKey(byModel, model, ""), cursor, limit, func(v view, name string, _ []byte) (*wire.Deployment, bool) {
		return deploys.get(v, name)
	})
}
