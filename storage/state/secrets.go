package state

import (
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// putToken creates a join token. An id is never used twice.
func (t *tx) putToken(k *wire.JoinToken) *wire.Result {
	if bad := checkName("the token's id", k.GetId()); bad != nil {
		return bad
	}
	if len(k.GetHash()) != hashBytes {
		return refuse(spec.CodeInvalidRequest, "the token's hash has %d bytes and must have %d", len(k.GetHash()), hashBytes)
	}
	if !spec.ValidRole(spec.Role(k.GetRole())) {
		return refuse(spec.CodeInvalidRequest, "there is no role %q to join with", k.GetRole())
	}
	if _, ok := tokens.get(t.view, k.GetId()); ok {
		return refuse(spec.CodeAlreadyExists, "there is a join token %s already", k.GetId())
	}
	if k.GetCreatedMs() == 0 {
		k.CreatedMs = t.at
	}
	tokens.put(t, k, nil, false)
	return done(0)
}

// useToken spends one use of a token. expires_ms 0 is never.
func (t *tx) useToken(c *wire.UseToken) *wire.Result {
	k, ok := tokens.get(t.view, c.GetId())
	switch {
	case !ok:
		return refuse(spec.CodeTokenInvalid, "there is no join token %q", c.GetId())
	case k.GetRevokedMs() != 0:
		return refuse(spec.CodeTokenRevoked, "join token %s was revoked", c.GetId())
	case k.GetExpiresMs() != 0 && k.GetExpiresMs() <= t.at:
		return refuse(spec.CodeTokenExpired, "join token %s has expired", c.GetId())
	case k.GetUsesLeft() == 0:
		return refuse(spec.CodeTokenExhausted, "join token %s has no uses left", c.GetId())
	}
	k.UsesLeft--
	tokens.put(t, k, k, true)
	return done(0)
}

// revokeToken ends a token, once: a second time is a success that changes nothing.
func (t *tx) revokeToken(id string) *wire.Result {
	k, ok := tokens.get(t.view, id)
	if !ok {
		return refuse(spec.CodeNotFound, "there is no join token %q", id)
	}
	if k.GetRevokedMs() == 0 {
		k.RevokedMs = max(t.at, 1)
		tokens.put(t, k, k, true)
	}
	return done(0)
}

// putSecret writes a sealed secret if its version is still the expected one, 0
// for one that is not there.
func (t *tx) putSecret(c *wire.Secret, expect uint64) *wire.Result {
	if bad := checkName("the secret's name", c.GetName()); bad != nil {
		return bad
	}
	old, exists := secrets.get(t.view, c.GetName())
	if old.GetVersion() != expect {
		return refuse(spec.CodeConflict, "secret %s is at version %d, not at %d", c.GetName(), old.GetVersion(), expect)
	}
	c.Version = expect + 1
	secrets.put(t, c, old, exists)
	return done(c.Version)
}

func (t *tx) putSetting(c *wire.PutSetting) *wire.Result {
	if bad := checkName("the setting's name", c.GetName()); bad != nil {
		return bad
	}
	t.set(append([]byte{settingsTable}, c.GetName()...), []byte(c.GetValue()))
	t.refs = append(t.refs, Ref{KindSetting, c.GetName()})
	if c.GetName() == spec.SettingSessionEpoch {
		t.takes(everybody)
	}
	return done(0)
}
