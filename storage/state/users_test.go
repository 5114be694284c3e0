package state

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func TestUsers(t *testing.T) {
	r := staffed(t)
	ann, _ := r.User("ann")
	checkRecord(t, ann, &wire.User{Id: "ann", Tenant: "acme", Name: "ann@acme", Password: "$argon2id$planted", Version: 1, CreatedMs: 1000, ChangedMs: 1000})
	if u, ok := r.UserByName("bob"); !ok || u.GetId() != "bob" {
		t.Errorf("bob by name is %v", u)
	}
	if u, ok := r.UserBySubject("https://sso", "42"); !ok || u.GetId() != "bob" {
		t.Errorf("bob by subject is %v", u)
	}
	for _, none := range [][2]string{{"https://sso", "4"}, {"https://sso", "422"}, {"https://ss", "42"}, {"", ""}} {
		if u, ok := r.UserBySubject(none[0], none[1]); ok {
			t.Errorf("%q is %v", none, u)
		}
	}
	for name, c := range map[string]*wire.User{
		"id": {Id: "ann", Name: "new"}, "name": {Id: "new", Name: "bob"}, "subject": {Id: "new", Name: "new", Issuer: "https://sso", Subject: "42"},
	} {
		t.Run("known "+name, func(t *testing.T) { r.denied(t, spec.CodeAlreadyExists, putUser(c, 0)) })
	}
	for name, c := range map[string]*wire.User{
		"no id": {Name: "new"}, "no name": {Id: "new"}, "long": {Id: "new", Name: "new", Email: strings.Repeat("x", 1025)},
		"half an identity": {Id: "new", Name: "new", Issuer: "https://sso"}, "service with a password": {Id: "new", Name: "new", Service: true, Password: "x"},
	} {
		t.Run(name, func(t *testing.T) { r.denied(t, spec.CodeInvalidRequest, putUser(c, 0)) })
	}
	r.denied(t, spec.CodeInvalidRequest, putUser(nil, 0))
	r.denied(t, spec.CodeNotFound, putUser(&wire.User{Id: "new", Name: "new", Tenant: "none"}, 0))
	r.denied(t, spec.CodeNotFound, putUser(&wire.User{Id: "new", Name: "new"}, 1))
	r.denied(t, spec.CodeConflict, putUser(&wire.User{Id: "ann", Name: "ann"}, 2))
	r.denied(t, spec.CodeAlreadyExists, putUser(&wire.User{Id: "ann", Name: "bob"}, 1))

	if res := r.ok(t, at(3000, putUser(&wire.User{Id: "ann", Name: "anna", CreatedMs: 7}, 1))); res.GetVersion() != 2 {
		t.Errorf("the change answers version %d", res.GetVersion())
	}
	ann, _ = r.User("ann")
	checkRecord(t, ann, &wire.User{Id: "ann", Name: "anna", Version: 2, CreatedMs: 1000, ChangedMs: 3000})
	r.ok(t, putUser(&wire.User{Id: "eve", Name: "ann@acme"}, 0)) // the name is free
	r.ok(t, putUser(&wire.User{Id: "bob", Name: "bob"}, 1))      // and so is the subject
	r.ok(t, putUser(&wire.User{Id: "eva", Name: "eva", Issuer: "https://sso", Subject: "42"}, 0))
}

// TestDisablingAUser ends sessions, and lets nothing new begin.
func TestDisablingAUser(t *testing.T) {
	r := staffed(t)
	ann, _ := r.User("ann")
	ann.DisabledMs = 5000
	var told []Ref
	r.Subscribe(func(c Change) { told = c.Records })
	r.ok(t, at(5000, putUser(ann, 1)))
	if want := []Ref{{KindUser, "ann"}, {KindSession, "s1"}, {KindSession, "s2"}}; !slices.Equal(told, want) {
		t.Errorf("subscribers were told %v, want %v", told, want)
	}
	for id, ended := range map[string]int64{"s1": 5000, "s2": 5000, "s3": 0} {
		if s, _ := r.Session(id); s.GetRevokedMs() != ended {
			t.Errorf("session %s: %v", id, s)
		}
	}
	list, _ := r.Audit(AuditFilter{Newest: true}, "", 1)
	if m := list[0].GetMessage(); m != "sessions ended: 2" {
		t.Errorf("the audit log says %q", m)
	}
	r.denied(t, spec.CodeUserDisabled, putSession("s9", "ann", 9000))
	r.denied(t, spec.CodeConflict, owned("k9", "acme", "ann"))
	kc, _ := r.Key("kc")
	kc.Owner = "ann"
	r.denied(t, spec.CodeConflict, changeKey(kc))
	ka, _ := r.Key("ka") // stays: it may do nothing while its owner is disabled
	if ka.GetRevokedMs() != 0 {
		t.Error("disabling a user revokes its keys for good")
	}
	ka.Name = "still changed"
	r.ok(t, changeKey(ka))
}

// TestANewPasswordEndsSessions with the write that sets it, and no other write of a
// user does.
func TestANewPasswordEndsSessions(t *testing.T) {
	r := staffed(t)
	ann, _ := r.User("ann")
	ann.Password = "$argon2id$at higher costs"
	r.ok(t, at(4000, putUser(proto.CloneOf(ann), 1)))
	if s, _ := r.Session("s1"); s.GetRevokedMs() != 0 {
		t.Error("a password that is kept at other costs has ended a session")
	}
	ann.Password = "$argon2id$another"
	r.denied(t, spec.CodeConflict, ending(putUser(proto.CloneOf(ann), 1), "password changed"))
	r.denied(t, spec.CodeInvalidRequest, ending(putUser(proto.CloneOf(ann), 2), strings.Repeat("x", maxText+1)))
	if s, _ := r.Session("s1"); s.GetRevokedMs() != 0 {
		t.Error("a write that was refused has ended a session")
	}
	var told []Ref
	r.Subscribe(func(c Change) { told = c.Records })
	r.ok(t, at(5000, ending(putUser(proto.CloneOf(ann), 2), "password changed")))
	if want := []Ref{{KindUser, "ann"}, {KindSession, "s1"}, {KindSession, "s2"}}; !slices.Equal(told, want) {
		t.Errorf("subscribers were told %v, want %v", told, want)
	}
	for id, ended := range map[string]int64{"s1": 5000, "s2": 5000, "s3": 0} {
		if s, _ := r.Session(id); s.GetRevokedMs() != ended || ended != 0 && s.GetReason() != "password changed" {
			t.Errorf("session %s: %v", id, s)
		}
	}
	list, _ := r.Audit(AuditFilter{Newest: true}, "", 1)
	if e := list[0]; e.GetAction() != "users.change" || e.GetTarget() != "user:ann" || e.GetMessage() != "password changed; sessions ended: 2" {
		t.Errorf("the audit log says %v", e)
	}
}

// TestEndingSessionsNeedsItsLevel, whatever its proposer says: a build of level 2 would
// set the password and let the sessions live.
func TestEndingSessionsNeedsItsLevel(t *testing.T) {
	plain := putUser(&wire.User{Id: "new", Name: "new"}, 0)
	if n := needs(plain); n != 2 {
		t.Errorf("a user needs level %d", n)
	}
	for said, want := range map[uint32]uint32{0: 3, 2: 3, 3: 3, 4: 4} {
		c := ending(putUser(&wire.User{Id: "new", Name: "new"}, 0), "password changed")
		if c.Level = said; needs(c) != want {
			t.Errorf("said to be of level %d it needs %d, want %d", said, needs(c), want)
		}
	}
	r := staffed(t)
	before := r.Needs()
	r.ok(t, ending(putUser(&wire.User{Id: "new", Name: "new"}, 0), "password changed"))
	if before != 2 || r.Needs() != 3 {
		t.Errorf("the state needs level %d, and %d before", r.Needs(), before)
	}
}

func TestRemovingAUser(t *testing.T) {
	r := staffed(t)
	r.ok(t, at(1500, revokeKey("kb")))
	seq, _ := r.AuditHead()
	var told []Ref
	r.Subscribe(func(c Change) { told = c.Records })
	r.ok(t, at(6000, removeUser("ann")))
	want := []Ref{{KindKey, "ka"}, {KindBinding, "b2"}, {KindSession, "s1"}, {KindSession, "s2"}, {KindBinding, "b1"}, {KindBinding, "b5"}, {KindUser, "ann"}}
	if !slices.Equal(told, want) {
		t.Errorf("subscribers were told %v, want %v", told, want)
	}
	sameLines(t, r.lines(t, seq), "users.remove user:ann ok", "bindings.remove binding:b2 ok", "keys.revoke key:ka ok", "bindings.remove binding:b1 ok", "bindings.remove binding:b5 ok")
	for id, revoked := range map[string]int64{"ka": 6000, "kb": 1500, "kc": 0} {
		if k, _ := r.Key(id); k.GetRevokedMs() != revoked {
			t.Errorf("key %s: %v", id, k)
		}
	}
	for id, revoked := range map[string]int64{"s1": 6000, "s2": 6000, "s3": 0} {
		if s, _ := r.Session(id); s.GetRevokedMs() != revoked {
			t.Errorf("session %s: %v", id, s)
		}
	}
	r.denied(t, spec.CodeNotFound, removeUser("ann"))
	r.denied(t, spec.CodeNotFound, putSession("s9", "ann", 9000))
	r.denied(t, spec.CodeNotFound, owned("k9", "acme", "ann"))
	r.denied(t, spec.CodeNotFound, bind("b9", "user:ann", "viewer", ""))
	r.denied(t, spec.CodeAlreadyExists, putUser(&wire.User{Id: "ann", Name: "other"}, 0)) // an id is never used twice
	r.ok(t, putUser(&wire.User{Id: "ann2", Name: "ann@acme"}, 0))
	checkIndexes(t, "afterwards", r.Store)
}

func TestRoles(t *testing.T) {
	r := staffed(t)
	for name, c := range map[string]*wire.AccessRole{
		"built in": {Id: "viewer"}, "no id": {}, "a tenant's name without it": {Id: "reader", Tenant: "acme"}, "another's": {Id: "zeta/reader", Tenant: "acme"},
		"a slash": {Id: "acme/reader2"}, "two slashes": {Id: "acme/x/y", Tenant: "acme"}, "empty after the tenant": {Id: "acme/", Tenant: "acme"},
		"no verb": {Id: "new", Permissions: []*wire.Permission{{Resource: "*"}}},
		"long":    {Id: "new", Permissions: []*wire.Permission{{Verb: "x", Resource: strings.Repeat("x", 1025)}}},
	} {
		t.Run(name, func(t *testing.T) { r.denied(t, spec.CodeInvalidRequest, putRole(c, 0)) })
	}
	r.denied(t, spec.CodeNotFound, putRole(&wire.AccessRole{Id: "none/x", Tenant: "none"}, 0))
	r.denied(t, spec.CodeAlreadyExists, putRole(&wire.AccessRole{Id: "helper"}, 0))
	r.denied(t, spec.CodeConflict, putRole(&wire.AccessRole{Id: "helper"}, 7))
	r.denied(t, spec.CodeNotFound, putRole(&wire.AccessRole{Id: "new"}, 7))
	r.ok(t, at(4000, putRole(&wire.AccessRole{Id: "helper", Description: "more"}, 1)))
	got, _ := r.Role("helper")
	checkRecord(t, got, &wire.AccessRole{Id: "helper", Description: "more", Version: 2, CreatedMs: 1000, ChangedMs: 4000})
	r.denied(t, spec.CodeConflict, removeRole("helper"))
	r.denied(t, spec.CodeNotFound, removeRole("viewer"))
	r.ok(t, unbind("b4"))
	r.ok(t, removeRole("helper"))
	if _, ok := r.Role("helper"); ok {
		t.Error("the removed role is there")
	}
	r.denied(t, spec.CodeNotFound, bind("b9", "group:staff", "helper", ""))
}

func TestBindings(t *testing.T) {
	r := staffed(t)
	for _, c := range []struct {
		code spec.Code
		c    *wire.Command
	}{
		{spec.CodeInvalidRequest, bind("", "user:ann", "viewer", "")},
		{spec.CodeInvalidRequest, bind("b9", "ann", "viewer", "")},
		{spec.CodeInvalidRequest, bind("b9", "host:ann", "viewer", "")},
		{spec.CodeInvalidRequest, bind("b9", "user:", "viewer", "")},
		{spec.CodeInvalidRequest, bind("b9", "user:ann", "", "")},
		{spec.CodeInvalidRequest, bind("b9", "user:ann", "acme/reader", "")}, // only in acme
		{spec.CodeInvalidRequest, bind("b9", "user:ann", "acme/reader", "zeta")},
		{spec.CodeNotFound, bind("b9", "user:ann", "none", "")},
		{spec.CodeNotFound, bind("b9", "user:none", "viewer", "")},
		{spec.CodeNotFound, bind("b9", "key:none", "viewer", "")},
		{spec.CodeNotFound, bind("b9", "user:ann", "viewer", "none")},
		{spec.CodeAlreadyExists, bind("b1", "user:ann", "viewer", "zeta")},
		{spec.CodeNotFound, unbind("none")},
	} {
		r.denied(t, c.code, c.c)
	}
	before := r.unlogged()
	r.ok(t, bind("b9", "user:ann", "developer", "acme")) // as b5
	if string(before) != string(r.unlogged()) {
		t.Error("the same binding again has changed something")
	}
	list, _ := r.Audit(AuditFilter{Newest: true}, "", 1)
	if e := list[0]; e.GetTarget() != "binding:b5" || e.GetBefore() == "" || e.GetBefore() != e.GetAfter() {
		t.Errorf("the audit log says %v", e)
	}
	r.ok(t, at(2000, revokeKey("ka")))
	if _, ok := r.Binding("b2"); ok {
		t.Error("the binding of a revoked key is there")
	}
	r.denied(t, spec.CodeNotFound, bind("b9", "key:ka", "viewer", ""))
}

func TestRemovingATenant(t *testing.T) {
	r := staffed(t)
	r.ok(t, at(1000, deploy(&wire.Deployment{Name: "chat", Tenant: "acme", Engine: "external"})))
	r.denied(t, spec.CodeNotFound, removeTenant("none"))
	for _, id := range []string{"ka", "kb", "kc"} {
		r.denied(t, spec.CodeConflict, removeTenant("acme"))
		r.ok(t, at(1000, revokeKey(id)))
	}
	expired := at(1000, putKey("kd", "acme", "short"))
	expired.GetPutKey().Key.ExpiresMs = 1900
	r.ok(t, expired)
	r.denied(t, spec.CodeConflict, at(2000, removeTenant("acme")))
	r.ok(t, removeUser("ann"))
	r.denied(t, spec.CodeConflict, at(2000, removeTenant("acme")))
	r.ok(t, at(1000, undeploy("chat")))
	r.ok(t, bind("b9", "group:staff", "acme/reader", "acme"))
	r.denied(t, spec.CodeConflict, at(1000, removeTenant("acme"))) // kd is good still
	seq, _ := r.AuditHead()
	r.ok(t, at(2000, removeTenant("acme")))
	sameLines(t, r.lines(t, seq), "tenants.remove tenant:acme ok", "bindings.remove binding:b9 ok", "roles.remove role:acme/reader ok")
	if _, ok := r.Tenant("acme"); ok {
		t.Error("the tenant is there")
	}
	checkIndexes(t, "afterwards", r.Store)
}

func TestChangingAndRotatingKeys(t *testing.T) {
	r := staffed(t)
	was, _ := r.Key("ka")
	to := &wire.APIKey{Id: "ka", Tenant: "zeta", Name: "better", Hash: sum("z"), Scopes: []string{"infer"}, Models: []string{"m*"}, RequestsPerMinute: 5,
		CreatedMs: 9, ExpiresMs: 99_000, RevokedMs: 9, CreatedBy: "x", Regions: []string{"north"}, Endpoints: []string{"/v1/*"}, Addresses: []string{"10.0.0.0/8"},
		PreviousHash: sum("y"), PreviousUntilMs: 9, RotatedMs: 9, Owner: "bob"}
	r.ok(t, at(3000, changeKey(to)))
	want := proto.CloneOf(to)
	want.Tenant, want.Hash, want.CreatedMs, want.RevokedMs, want.CreatedBy = was.Tenant, was.Hash, was.CreatedMs, 0, was.CreatedBy
	want.PreviousHash, want.PreviousUntilMs, want.RotatedMs, want.ChangedMs, want.Version = nil, 0, 0, 3000, 1
	got, _ := r.Key("ka")
	checkRecord(t, got, want)
	r.denied(t, spec.CodeNotFound, changeKey(&wire.APIKey{Id: "none", Name: "x"}))
	r.denied(t, spec.CodeInvalidRequest, changeKey(&wire.APIKey{Id: "kb"}))
	r.denied(t, spec.CodeAlreadyExists, changeKey(&wire.APIKey{Id: "kb", Name: "better"}))
	r.denied(t, spec.CodeNotFound, changeKey(&wire.APIKey{Id: "kb", Name: "b", Owner: "none"}))

	r.ok(t, at(4000, rotateKey("ka", "n", 500)))
	got, _ = r.Key("ka")
	want.Hash, want.PreviousHash, want.PreviousUntilMs, want.RotatedMs = sum("n"), was.Hash, 4500, 4000
	want.Version = 2
	checkRecord(t, got, want)
	r.denied(t, spec.CodeInvalidRequest, rotateKey("ka", "n", 0))
	r.denied(t, spec.CodeInvalidRequest, rotateKey("ka", "m", -1))
	r.denied(t, spec.CodeInvalidRequest, rotateKey("ka", "m", 1<<62))
	r.denied(t, spec.CodeNotFound, rotateKey("none", "m", 0))
	r.ok(t, at(4100, rotateKey("ka", "m", 0)))
	got, _ = r.Key("ka")
	want.Hash, want.PreviousHash, want.PreviousUntilMs, want.RotatedMs = sum("m"), nil, 0, 4100
	want.Version = 3
	checkRecord(t, got, want)
	r.denied(t, spec.CodeConflict, at(99_000, rotateKey("ka", "o", 0))) // expired
	r.denied(t, spec.CodeConflict, at(99_000, changeKey(to)))
	r.ok(t, at(5000, revokeKey("ka")))
	r.denied(t, spec.CodeConflict, rotateKey("ka", "o", 0))
	r.denied(t, spec.CodeConflict, changeKey(to))
	checkIndexes(t, "afterwards", r.Store)
}

func TestLastUses(t *testing.T) {
	r := staffed(t)
	seq, _ := r.AuditHead()
	r.Subscribe(func(c Change) {
		if len(c.Records) > 0 {
			t.Errorf("told of %v", c.Records)
		}
	})
	r.ok(t, at(5000, touchKeys(&wire.KeyUse{Id: "ka", AtMs: 4000}, &wire.KeyUse{Id: "kb", AtMs: 1 << 60}, &wire.KeyUse{Id: "none", AtMs: 4000})))
	r.ok(t, at(6000, touchKeys(&wire.KeyUse{Id: "ka", AtMs: 3000}, &wire.KeyUse{Id: "kb", AtMs: 5500}, &wire.KeyUse{})))
	for id, want := range map[string]int64{"ka": 4000, "kb": 5500, "kc": 0, "none": 0} {
		if got := r.LastUsed(id); got != want {
			t.Errorf("key %s was used at %d, want %d", id, got, want)
		}
	}
	if now, _ := r.AuditHead(); now != seq {
		t.Error("uses are in the audit log")
	}
}

func TestRemovingASetting(t *testing.T) {
	r := newReplica(t)
	r.ok(t, putSetting("a/b", "1"))
	r.ok(t, putSetting("a/c", "2"))
	var told []Ref
	r.Subscribe(func(c Change) { told = c.Records })
	r.ok(t, removeSetting("a/b"))
	if !slices.Equal(told, []Ref{{KindSetting, "a/b"}}) {
		t.Errorf("told %v", told)
	}
	if list := r.Settings(); len(list) != 1 || list[0].Name != "a/c" {
		t.Errorf("there are %v", list)
	}
	r.denied(t, spec.CodeNotFound, removeSetting("a/b"))
}
