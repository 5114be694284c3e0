package state

import (
	"bytes"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// longestOverlap bounds for how long a rotated key has two secrets.
const longestOverlap = 366 * 24 * time.Hour

// inForce finds a key that is good now.
func (t *tx) inForce(id string) (*wire.APIKey, *wire.Result) {
	k, ok := apiKeys.get(t.view, id)
	switch {
	case !ok:
		return nil, refuse(spec.CodeNotFound, "there is no key %q", id)
	case k.GetRevokedMs() != 0:
		return nil, refuse(spec.CodeConflict, "key %s was revoked", id)
	case k.GetExpiresMs() != 0 && k.GetExpiresMs() <= t.at:
		return nil, refuse(spec.CodeConflict, "key %s has expired", id)
	}
	return k, nil
}

// changeKey changes what a key in force may do, whose it is, and what it is called.
func (t *tx) changeKey(c *wire.ChangeKey) *wire.Result {
	to := given(c.GetKey())
	k, bad := t.inForce(to.GetId())
	if bad != nil {
		return bad
	}
	if c.ExpectVersion != nil && c.GetExpectVersion() != k.GetVersion() {
		return refuse(spec.CodeConflict, "key %s is at version %d, not at %d", k.GetId(), k.GetVersion(), c.GetExpectVersion())
	}
	if bad := checkName("the key's name", to.GetName()); bad != nil {
		return bad
	}
	if id, taken := t.keyInForce(k.GetTenant(), to.GetName()); taken && id != k.GetId() {
		return refuse(spec.CodeAlreadyExists, "key %s of tenant %s has the name %q already", id, k.GetTenant(), to.GetName())
	}
	if to.GetOwner() != k.GetOwner() {
		if bad := t.checkOwner(to.GetOwner()); bad != nil {
			return bad
		}
	}
	apiKeys.unindex(t, k)
	k.Name, k.Owner, k.ExpiresMs, k.RequestsPerMinute = to.GetName(), to.GetOwner(), to.GetExpiresMs(), to.GetRequestsPerMinute()
	k.Scopes, k.Models, k.Regions, k.Endpoints, k.Addresses = to.GetScopes(), to.GetModels(), to.GetRegions(), to.GetEndpoints(), to.GetAddresses()
	k.Limits = to.GetLimits()
	k.ChangedMs = t.at
	k.Version++
	apiKeys.put(t, k, nil, false)
	t.takes("key:" + k.GetId())
	return done(k.GetVersion())
}

// rotateKey gives a key in force another secret. The one before is good for the
// overlap; the one before that for no longer.
func (t *tx) rotateKey(c *wire.RotateKey) *wire.Result {
	if len(c.GetHash()) != hashBytes {
		return refuse(spec.CodeInvalidRequest, "the key's hash has %d bytes and must have %d", len(c.GetHash()), hashBytes)
	}
	if c.GetOverlapMs() < 0 || c.GetOverlapMs() > longestOverlap.Milliseconds() {
		return refuse(spec.CodeInvalidRequest, "the overlap is %d ms and may be 0 to %d", c.GetOverlapMs(), longestOverlap.Milliseconds())
	}
	k, bad := t.inForce(c.GetId())
	if bad != nil {
		return bad
	}
	if bytes.Equal(k.GetHash(), c.GetHash()) {
		return refuse(spec.CodeInvalidRequest, "key %s has that secret already", k.GetId())
	}
	k.PreviousHash, k.PreviousUntilMs = nil, 0
	if c.GetOverlapMs() > 0 {
		k.PreviousHash, k.PreviousUntilMs = k.GetHash(), t.at+c.GetOverlapMs()
	}
	k.Hash, k.RotatedMs = c.GetHash(), t.at
	k.Version++
	apiKeys.put(t, k, k, true) // its indexes stay
	t.takes("key:" + k.GetId())
	return done(k.GetVersion())
}

// endKey revokes a key, and takes the roles that it was given.
func (t *tx) endKey(k *wire.APIKey) {
	apiKeys.unindex(t, k)
	k.RevokedMs = max(t.at, 1)
	apiKeys.put(t, k, nil, false)
	t.takes("key:" + k.GetId())
	t.dropBindings(indexKey(byBindingSubject, "key:"+k.GetId(), ""), "its key was revoked")
}

// touchKeys notes when keys were last used. A use is never later than the
// command, whatever a gateway's clock says.
func (t *tx) touchKeys(uses []*wire.KeyUse) *wire.Result {
	for _, u := range uses {
		at := min(u.GetAtMs(), t.at)
		if at <= int64(t.number(usesTable, u.GetId())) {
			continue
		}
		if _, ok := apiKeys.get(t.view, u.GetId()); ok {
			t.set(append([]byte{usesTable}, u.GetId()...), be(uint64(at)))
		}
	}
	return done(0)
}

// removeTenant removes a tenant that owns nothing that works, with its roles and
// the bindings in it.
func (t *tx) removeTenant(id string) *wire.Result {
	n, ok := tenants.get(t.view, id)
	if !ok {
		return refuse(spec.CodeNotFound, "there is no tenant %q", id)
	}
	if k, ok := t.anyKeyInForce(id); ok {
		return refuse(spec.CodeConflict, "tenant %s has key %s in force: revoke it first", id, k)
	}
	if u, ok := users.first(t.view, indexKey(byUserTenant, id, "")); ok {
		return refuse(spec.CodeConflict, "tenant %s is the home of user %s: remove it first", id, u.GetName())
	}
	if d, ok := deploys.first(t.view, indexKey(byDeploymentTenant, id, "")); ok {
		return refuse(spec.CodeConflict, "tenant %s owns deployment %s: remove it first", id, d.GetName())
	}
	t.tally("bindings removed", t.dropBindings(indexKey(byBindingTenant, id, ""), "its tenant was removed"))
	dropped := 0
	for _, name := range t.named(indexKey(byRoleTenant, id, "")) {
		if r, ok := roles.get(t.view, name); ok {
			roles.drop(t, r)
			t.note(note{action: "roles.remove", target: "role:" + name, tenant: id, message: "its tenant was removed", before: r})
			dropped++
		}
	}
	t.tally("roles removed", dropped)
	tenants.drop(t, n)
	return done(0)
}

// anyKeyInForce finds a key of a tenant that is good now.
func (t *tx) anyKeyInForce(tenant string) (id string, ok bool) {
	t.walk(indexKey(byKeyName, tenant, ""), nil, func(key, _ []byte) bool {
		name := string(key[bytes.LastIndexByte(key, 0)+1:])
		k, found := apiKeys.get(t.view, name)
		if ok = found && (k.GetExpiresMs() == 0 || k.GetExpiresMs() > t.at); ok {
			id = name
		}
		return !ok
	})
	return id, ok
}

func (t *tx) removeSetting(name string) *wire.Result {
	if _, ok := t.value(append([]byte{settingsTable}, name...)); !ok {
		return refuse(spec.CodeNotFound, "there is no setting %q", name)
	}
	t.remove(append([]byte{settingsTable}, name...))
	t.refs = append(t.refs, Ref{KindSetting, name})
	return done(0)
}
