package state

import (
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

const hashBytes = 32 // of SHA-256

// putTenant creates or changes a tenant.
func (t *tx) putTenant(n *wire.Tenant) *wire.Result {
	if bad := checkName("the tenant's id", n.GetId()); bad != nil {
		return bad
	}
	old, exists := tenants.get(t.view, n.GetId())
	if exists {
		n.CreatedMs = old.GetCreatedMs()
	} else if n.GetCreatedMs() == 0 {
		n.CreatedMs = t.at
	}
	tenants.put(t, n, old, exists)
	return done(0)
}

// putKey creates an API key. An id is never used twice; a name is free again
// once the key that had it was revoked or has expired.
func (t *tx) putKey(k *wire.APIKey) *wire.Result {
	for _, n := range []struct{ field, name string }{
		{"the key's id", k.GetId()}, {"the key's tenant", k.GetTenant()}, {"the key's name", k.GetName()},
	} {
		if bad := checkName(n.field, n.name); bad != nil {
			return bad
		}
	}
	if len(k.GetHash()) != hashBytes {
		return refuse(spec.CodeInvalidRequest, "the key's hash has %d bytes and must have %d", len(k.GetHash()), hashBytes)
	}
	if _, ok := apiKeys.get(t.view, k.GetId()); ok {
		return refuse(spec.CodeAlreadyExists, "there is a key %s already", k.GetId())
	}
	if id, taken := t.keyInForce(k.GetTenant(), k.GetName()); taken {
		return refuse(spec.CodeAlreadyExists, "key %s of tenant %s has the name %q already", id, k.GetTenant(), k.GetName())
	}
	if t.level() >= 2 { // an older build would not look
		if bad := t.checkOwner(k.GetOwner()); bad != nil {
			return bad
		}
	}
	if k.GetCreatedMs() == 0 {
		k.CreatedMs = t.at
	}
	apiKeys.put(t, k, nil, false)
	return done(0)
}

// keyInForce finds the key that has a name now.
func (t *tx) keyInForce(tenant, name string) (id string, ok bool) {
	prefix := indexKey(byKeyName, tenant, name, "")
	t.walk(prefix, nil, func(key, _ []byte) bool {
		k, found := apiKeys.get(t.view, string(key[len(prefix):]))
		if ok = found && (k.GetExpiresMs() == 0 || k.GetExpiresMs() > t.at); ok {
			id = k.GetId()
		}
		return !ok
	})
	return id, ok
}

// revokeKey ends a key, once: a second time is a success that changes nothing.
func (t *tx) revokeKey(id string) *wire.Result {
	k, ok := apiKeys.get(t.view, id)
	if !ok {
		return refuse(spec.CodeNotFound, "there is no key %q", id)
	}
	if k.GetRevokedMs() == 0 {
		t.endKey(k)
	}
	return done(0)
}
