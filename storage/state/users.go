package state

import (
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

const maxText = 1 << 10 // bytes of a text that names nothing

// putUser creates a user, or changes one whose version is still the expected one.
// Who is disabled has no session from then on; end says why else they end, empty: they
// do not.
func (t *tx) putUser(u *wire.User, expect uint64, end string) *wire.Result {
	if bad := t.checkUser(u); bad != nil {
		return bad
	}
	if bad := checkText("the reason", end); bad != nil {
		return bad
	}
	old, exists := users.get(t.view, u.GetId())
	switch {
	case expect == 0 && exists:
		return refuse(spec.CodeAlreadyExists, "there is a user %s already", u.GetId())
	case expect == 0 && t.number(goneTable, u.GetId()) != 0:
		return refuse(spec.CodeAlreadyExists, "user %s was removed, and its id is not used again", u.GetId())
	case expect != 0 && !exists:
		return refuse(spec.CodeNotFound, "there is no user %q", u.GetId())
	case old.GetVersion() != expect:
		return refuse(spec.CodeConflict, "user %s is at version %d, not at %d", u.GetId(), old.GetVersion(), expect)
	}
	if other, ok := users.first(t.view, indexKey(byUserName, folded(u.GetName()), "")); ok && other.GetId() != u.GetId() {
		return refuse(spec.CodeAlreadyExists, "the name %q is taken", u.GetName())
	}
	if u.GetSubject() != "" {
		if other, ok := users.first(t.view, indexKey(byUserSubject, u.GetIssuer(), u.GetSubject(), "")); ok && other.GetId() != u.GetId() {
			return refuse(spec.CodeAlreadyExists, "another user logs in as %q at %s already", u.GetSubject(), u.GetIssuer())
		}
	}
	u.Version, u.ChangedMs = expect+1, t.at
	if exists {
		u.CreatedMs = old.GetCreatedMs()
	} else if u.GetCreatedMs() == 0 {
		u.CreatedMs = t.at
	}
	users.put(t, u, old, exists)
	if exists {
		t.takes("user:" + u.GetId())
	}
	if end != "" {
		t.tallies = append(t.tallies, end)
	}
	if u.GetDisabledMs() != 0 {
		end = "the user was disabled"
	}
	if end != "" {
		t.tally("sessions ended", t.endSessions(u.GetId(), end))
	}
	return done(u.Version)
}

func (t *tx) checkUser(u *wire.User) *wire.Result {
	for _, n := range []struct{ field, name string }{{"the user's id", u.GetId()}, {"the user's name", u.GetName()}} {
		if bad := checkName(n.field, n.name); bad != nil {
			return bad
		}
	}
	for _, n := range []struct{ field, text string }{{"the user's email", u.GetEmail()}, {"the user's display name", u.GetDisplay()}, {"the user's password hash", u.GetPassword()}} {
		if bad := checkText(n.field, n.text); bad != nil {
			return bad
		}
	}
	if u.GetIssuer() != "" || u.GetSubject() != "" {
		for _, n := range []struct{ field, name string }{{"the user's issuer", u.GetIssuer()}, {"the user's subject", u.GetSubject()}} {
			if bad := checkName(n.field, n.name); bad != nil {
				return bad
			}
		}
	}
	if u.GetService() && u.GetPassword() != "" {
		return refuse(spec.CodeInvalidRequest, "user %s is a service account, and those have no password", u.GetId())
	}
	return t.checkTenant(u.GetTenant())
}

// checkTenant refuses a tenant that is not there; "" is the cluster itself.
func (t *tx) checkTenant(id string) *wire.Result {
	if id == "" {
		return nil
	}
	if _, ok := tenants.get(t.view, id); !ok {
		return refuse(spec.CodeNotFound, "there is no tenant %q", id)
	}
	return nil
}

// checkOwner refuses a user who cannot own a key; "" is nobody.
func (t *tx) checkOwner(id string) *wire.Result {
	if id == "" {
		return nil
	}
	switch u, ok := users.get(t.view, id); {
	case !ok:
		return refuse(spec.CodeNotFound, "there is no user %q to own a key", id)
	case u.GetDisabledMs() != 0:
		return refuse(spec.CodeConflict, "user %s is disabled and can own no new key", id)
	}
	return nil
}

func checkText(field, text string) *wire.Result {
	if len(text) > maxText {
		return refuse(spec.CodeInvalidRequest, "%s has %d bytes and may have %d", field, len(text), maxText)
	}
	return nil
}

// removeUser removes a user with all that is the user's: keys and sessions end,
// bindings go.
func (t *tx) removeUser(id string) *wire.Result {
	u, ok := users.get(t.view, id)
	if !ok {
		return refuse(spec.CodeNotFound, "there is no user %q", id)
	}
	keys := 0
	for _, id := range t.named(indexKey(byKeyOwner, id, "")) {
		if k, ok := apiKeys.get(t.view, id); ok && k.GetRevokedMs() == 0 {
			before := proto.CloneOf(k)
			t.endKey(k)
			t.note(note{action: "keys.revoke", target: "key:" + id, tenant: k.GetTenant(), message: "its owner was removed", before: before, after: k})
			keys++
		}
	}
	t.tally("keys revoked", keys)
	t.tally("sessions ended", t.endSessions(id, "the user was removed"))
	t.tally("bindings removed", t.dropBindings(indexKey(byBindingSubject, "user:"+id, ""), "its user was removed"))
	users.drop(t, u)
	t.takes("user:" + id)
	t.set(append([]byte{goneTable}, id...), be(t.index))
	return done(0)
}

// named are the names of the records that an index names under prefix.
func (v view) named(prefix []byte) (names []string) {
	v.walk(prefix, nil, func(key, _ []byte) bool {
		names = append(names, string(key[len(prefix):]))
		return true
	})
	return names
}

// subjectOf splits a binding's subject.
func subjectOf(text string) (kind, id string) {
	kind, id, _ = strings.Cut(text, ":")
	return kind, id
}
