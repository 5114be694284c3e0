package state

import (
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// putRole creates a role, or changes one whose version is still the expected one.
func (t *tx) putRole(r *wire.AccessRole, expect uint64) *wire.Result {
	if bad := t.checkRole(r); bad != nil {
		return bad
	}
	old, exists := roles.get(t.view, r.GetId())
	switch {
	case expect == 0 && exists:
		return refuse(spec.CodeAlreadyExists, "there is a role %s already", r.GetId())
	case expect != 0 && !exists:
		return refuse(spec.CodeNotFound, "there is no role %q", r.GetId())
	case old.GetVersion() != expect:
		return refuse(spec.CodeConflict, "role %s is at version %d, not at %d", r.GetId(), old.GetVersion(), expect)
	}
	r.Version, r.ChangedMs = expect+1, t.at
	if exists {
		r.CreatedMs = old.GetCreatedMs()
	} else if r.GetCreatedMs() == 0 {
		r.CreatedMs = t.at
	}
	roles.put(t, r, old, exists)
	if exists {
		t.takes(everybody)
	}
	return done(r.Version)
}

// checkRole holds a role's id to what it tells: a name, or tenant/name where a
// tenant owns it.
func (t *tx) checkRole(r *wire.AccessRole) *wire.Result {
	if bad := checkName("the role's id", r.GetId()); bad != nil {
		return bad
	}
	if spec.BuiltInRole(r.GetId()) {
		return refuse(spec.CodeInvalidRequest, "the role %s is built in and cannot be changed", r.GetId())
	}
	name := r.GetId()
	if r.GetTenant() != "" {
		var ok bool
		if name, ok = strings.CutPrefix(name, r.GetTenant()+"/"); !ok {
			return refuse(spec.CodeInvalidRequest, "the id of a role of tenant %s must begin with %s/", r.GetTenant(), r.GetTenant())
		}
	}
	if name == "" || strings.Contains(name, "/") {
		return refuse(spec.CodeInvalidRequest, "the role's id %q is not a name, or tenant/name where a tenant owns it", r.GetId())
	}
	if bad := checkText("the role's description", r.GetDescription()); bad != nil {
		return bad
	}
	for _, p := range r.GetPermissions() {
		if bad := checkName("a permission's verb", p.GetVerb()); bad != nil {
			return bad
		}
		if bad := checkText("a permission's resource", p.GetResource()); bad != nil {
			return bad
		}
	}
	return t.checkTenant(r.GetTenant())
}

// removeRole removes a role that nobody has.
func (t *tx) removeRole(id string) *wire.Result {
	r, ok := roles.get(t.view, id)
	if !ok {
		return refuse(spec.CodeNotFound, "there is no role %q that can be removed", id)
	}
	if b, ok := bindings.first(t.view, indexKey(byBindingRole, id, "")); ok {
		return refuse(spec.CodeConflict, "binding %s gives the role %s to %s: remove it first", b.GetId(), id, b.GetSubject())
	}
	roles.drop(t, r)
	return done(0)
}

// putBinding gives a subject a role. Who has it there already keeps the binding
// that gives it.
func (t *tx) putBinding(b *wire.Binding) *wire.Result {
	if bad := t.checkBinding(b); bad != nil {
		return bad
	}
	if _, ok := t.bindingLike(b); ok {
		return done(0)
	}
	if _, ok := bindings.get(t.view, b.GetId()); ok {
		return refuse(spec.CodeAlreadyExists, "there is a binding %s already", b.GetId())
	}
	if b.GetCreatedMs() == 0 {
		b.CreatedMs = t.at
	}
	bindings.put(t, b, nil, false)
	return done(0)
}

// bindingLike is the binding that gives the same role to the same subject in the
// same tenant.
func (v view) bindingLike(b *wire.Binding) (*wire.Binding, bool) {
	for _, id := range v.named(indexKey(byBindingSubject, b.GetSubject(), "")) {
		have, ok := bindings.get(v, id)
		if ok && have.GetRole() == b.GetRole() && have.GetTenant() == b.GetTenant() {
			return have, true
		}
	}
	return nil, false
}

func (t *tx) checkBinding(b *wire.Binding) *wire.Result {
	kind, of := subjectOf(b.GetSubject())
	for _, n := range []struct{ field, name string }{
		{"the binding's id", b.GetId()}, {"the name in the binding's subject", of}, {"the binding's role", b.GetRole()},
	} {
		if bad := checkName(n.field, n.name); bad != nil {
			return bad
		}
	}
	if bad := t.checkTenant(b.GetTenant()); bad != nil {
		return bad
	}
	switch kind {
	case "group":
	case "user":
		if _, ok := users.get(t.view, of); !ok {
			return refuse(spec.CodeNotFound, "there is no user %q to give a role", of)
		}
	case "key":
		if k, ok := apiKeys.get(t.view, of); !ok || k.GetRevokedMs() != 0 {
			return refuse(spec.CodeNotFound, "there is no key %q in force to give a role", of)
		}
	default:
		return refuse(spec.CodeInvalidRequest, "the binding's subject %q is not user:ID, group:NAME or key:ID", b.GetSubject())
	}
	if spec.BuiltInRole(b.GetRole()) {
		return nil
	}
	switch r, ok := roles.get(t.view, b.GetRole()); {
	case !ok:
		return refuse(spec.CodeNotFound, "there is no role %q", b.GetRole())
	case r.GetTenant() != "" && r.GetTenant() != b.GetTenant():
		return refuse(spec.CodeInvalidRequest, "the role %s is tenant %s's and can be given there only", r.GetId(), r.GetTenant())
	}
	return nil
}

func (t *tx) removeBinding(id string) *wire.Result {
	b, ok := bindings.get(t.view, id)
	if !ok {
		return refuse(spec.CodeNotFound, "there is no binding %q", id)
	}
	bindings.drop(t, b)
	t.takes(b.GetSubject())
	return done(0)
}

// dropBindings removes the bindings that an index names under prefix.
func (t *tx) dropBindings(prefix []byte, why string) (dropped int) {
	for _, id := range t.named(prefix) {
		if b, ok := bindings.get(t.view, id); ok {
			bindings.drop(t, b)
			t.takes(b.GetSubject())
			t.note(note{action: "bindings.remove", target: "binding:" + id, tenant: b.GetTenant(), message: why, before: b})
			dropped++
		}
	}
	return dropped
}
