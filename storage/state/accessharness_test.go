package state

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func command(body func(*wire.Command)) *wire.Command {
	c := &wire.Command{Level: 2, AtMs: 1000, Principal: "key/boss", From: "10.0.0.9"}
	body(c)
	return c
}

func putUser(u *wire.User, expect uint64) *wire.Command {
	return command(func(c *wire.Command) {
		c.Body = &wire.Command_PutUser{PutUser: &wire.PutUser{User: u, ExpectVersion: expect}}
	})
}

// ending has a write of a user end the sessions, too.
func ending(c *wire.Command, why string) *wire.Command {
	c.GetPutUser().EndSessions = why
	return c
}

func removeUser(id string) *wire.Command {
	return command(func(c *wire.Command) { c.Body = &wire.Command_RemoveUser{RemoveUser: &wire.RemoveUser{Id: id}} })
}

func putRole(r *wire.AccessRole, expect uint64) *wire.Command {
	return command(func(c *wire.Command) {
		c.Body = &wire.Command_PutRole{PutRole: &wire.PutRole{Role: r, ExpectVersion: expect}}
	})
}

func removeRole(id string) *wire.Command {
	return command(func(c *wire.Command) { c.Body = &wire.Command_RemoveRole{RemoveRole: &wire.RemoveRole{Id: id}} })
}

func bind(id, subject, role, tenant string) *wire.Command {
	return command(func(c *wire.Command) {
		c.Body = &wire.Command_PutBinding{PutBinding: &wire.PutBinding{Binding: &wire.Binding{Id: id, Subject: subject, Role: role, Tenant: tenant}}}
	})
}

func unbind(id string) *wire.Command {
	return command(func(c *wire.Command) {
		c.Body = &wire.Command_RemoveBinding{RemoveBinding: &wire.RemoveBinding{Id: id}}
	})
}

// putSession opens one with the family "f" and the first token "1".
func putSession(id, user string, expires int64) *wire.Command {
	return command(func(c *wire.Command) {
		s := &wire.Session{Id: id, User: user, Method: "password", FamilyHash: sum("f"), RefreshHash: sum("1"), ExpiresMs: expires, From: "10.0.0.9", Agent: "cli"}
		c.Body = &wire.Command_PutSession{PutSession: &wire.PutSession{Session: s}}
	})
}

func refresh(id, family, token, next string) *wire.Command {
	return command(func(c *wire.Command) {
		c.Body = &wire.Command_RefreshSession{RefreshSession: &wire.RefreshSession{
			Id: id, FamilyHash: sum(family), TokenHash: sum(token), NextHash: sum(next), From: "10.0.0.10", Agent: "cli2"}}
	})
}

func revokeSession(id, user string) *wire.Command {
	return command(func(c *wire.Command) {
		c.Body = &wire.Command_RevokeSession{RevokeSession: &wire.RevokeSession{Id: id, User: user, Reason: "logged out"}}
	})
}

func changeKey(k *wire.APIKey) *wire.Command {
	return command(func(c *wire.Command) { c.Body = &wire.Command_ChangeKey{ChangeKey: &wire.ChangeKey{Key: k}} })
}

func rotateKey(id, hash string, overlap int64) *wire.Command {
	return command(func(c *wire.Command) {
		c.Body = &wire.Command_RotateKey{RotateKey: &wire.RotateKey{Id: id, Hash: sum(hash), OverlapMs: overlap}}
	})
}

func touchKeys(uses ...*wire.KeyUse) *wire.Command {
	return command(func(c *wire.Command) { c.Body = &wire.Command_TouchKeys{TouchKeys: &wire.TouchKeys{Uses: uses}} })
}

func noteAudit(n *wire.NoteAudit) *wire.Command {
	return command(func(c *wire.Command) { c.Body = &wire.Command_NoteAudit{NoteAudit: n} })
}

func removeTenant(id string) *wire.Command {
	return command(func(c *wire.Command) { c.Body = &wire.Command_RemoveTenant{RemoveTenant: &wire.RemoveTenant{Id: id}} })
}

func removeSetting(name string) *wire.Command {
	return command(func(c *wire.Command) {
		c.Body = &wire.Command_RemoveSetting{RemoveSetting: &wire.RemoveSetting{Name: name}}
	})
}

// at has the command proposed at that time, at feature level 2.
func at(ms int64, c *wire.Command) *wire.Command {
	c.AtMs, c.Level = ms, 2
	return c
}

// owned is a key of user.
func owned(id, tenant, user string) *wire.Command {
	c := at(1000, putKey(id, tenant, "name of "+id))
	c.GetPutKey().Key.Owner = user
	return c
}

// unlogged is a hash of everything but the audit log.
func (r *replica) unlogged() []byte {
	f := r.freeze()
	defer f.release()
	sum := sha256.New()
	f.walk(nil, []byte{positionMark + 1}, func(key, value []byte) bool {
		if key[0] != audits.id && (key[0] < byAuditTime || key[0] > byAuditTenant) {
			sum.Write(key)
			sum.Write(value)
		}
		return true
	})
	return sum.Sum(nil)
}

// denied applies a command that must be refused by that code, and be one entry of
// the audit log and nothing else.
func (r *replica) denied(t tester, code spec.Code, c *wire.Command) {
	t.Helper()
	before := r.unlogged()
	seq, _ := r.AuditHead()
	res := r.do(t, c)
	if res.GetCode() != string(code) || res.GetMessage() == "" {
		t.Fatalf("%T: code %q (%s), want %q", c.GetBody(), res.GetCode(), res.GetMessage(), code)
	}
	if !bytes.Equal(before, r.unlogged()) {
		t.Fatalf("%T was refused and changed the state", c.GetBody())
	}
	list, _ := r.Audit(AuditFilter{Newest: true}, "", 1)
	if now, _ := r.AuditHead(); now != seq+1 || list[0].GetOutcome() != string(code) || list[0].GetBefore()+list[0].GetAfter() != "" {
		t.Fatalf("%T was refused, and the audit log has come from %d to %d and has %v", c.GetBody(), seq, now, list)
	}
}

// whole is the audit log.
func (r *replica) whole(t tester) (log []*wire.AuditEntry) {
	t.Helper()
	cursor := ""
	for {
		page, next := r.Audit(AuditFilter{}, cursor, 64)
		log = append(log, page...)
		if next == "" {
			return log
		}
		cursor = next
	}
}

// checkLog verifies the audit log from its first entry to its head.
func checkLog(t tester, r *replica) {
	t.Helper()
	log := r.whole(t)
	try(t, VerifyAudit(log))
	seq, hash := r.AuditHead()
	if len(log) == 0 {
		if seq != 0 || hash != nil {
			t.Fatalf("the empty audit log has the head %d", seq)
		}
		return
	}
	if last := log[len(log)-1]; last.GetSeq() != seq || !bytes.Equal(last.GetHash(), hash) {
		t.Fatalf("the audit log's head is %d and its last entry %d", seq, last.GetSeq())
	}
	r.writing.Lock()
	defer r.writing.Unlock()
	if e := r.writing.audit; e.first != log[0].GetSeq() || e.last != seq || !bytes.Equal(e.hash, hash) {
		t.Fatalf("the audit log is taken to be from %d to %d, and is from %d to %d", e.first, e.last, log[0].GetSeq(), seq)
	}
}

// lines are what the entries of the audit log after seq say happened.
func (r *replica) lines(t tester, seq uint64) (lines []string) {
	t.Helper()
	for _, e := range r.whole(t) {
		if e.GetSeq() > seq {
			lines = append(lines, e.GetAction()+" "+e.GetTarget()+" "+e.GetOutcome())
		}
	}
	return lines
}

func sameLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("the audit log says %q, want %q", got, want)
	}
}

// staffed has users, roles, bindings, sessions and keys of tenant acme:
// ann (keys ka and kb, sessions s1 and s2, bindings b1 and b2), and bob (b3).
func staffed(t testing.TB) *replica {
	t.Helper()
	r := newReplica(t)
	staff(t, r)
	return r
}

func staff(t tester, r *replica) {
	t.Helper()
	for _, c := range staffing() {
		r.ok(t, c)
	}
}

func staffing() []*wire.Command {
	return []*wire.Command{
		at(1000, putTenant(&wire.Tenant{Id: "acme", Name: "Acme"})),
		at(1000, putTenant(&wire.Tenant{Id: "zeta", Name: "Zeta"})),
		putUser(&wire.User{Id: "ann", Tenant: "acme", Name: "ann@acme", Password: "$argon2id$planted"}, 0),
		putUser(&wire.User{Id: "bob", Name: "bob", Issuer: "https://sso", Subject: "42", Groups: []string{"staff"}}, 0),
		putRole(&wire.AccessRole{Id: "acme/reader", Tenant: "acme", Permissions: []*wire.Permission{{Verb: "keys.read"}}}, 0),
		putRole(&wire.AccessRole{Id: "helper", Permissions: []*wire.Permission{{Verb: "nodes.read", Resource: "*"}}}, 0),
		owned("ka", "acme", "ann"), owned("kb", "acme", "ann"), owned("kc", "acme", ""),
		bind("b1", "user:ann", "acme/reader", "acme"), bind("b2", "key:ka", "viewer", "acme"), bind("b3", "user:bob", "owner", ""),
		bind("b4", "group:staff", "helper", ""), bind("b5", "user:ann", "developer", "acme"),
		putSession("s1", "ann", 900_000_000), putSession("s2", "ann", 900_000_000), putSession("s3", "bob", 900_000_000),
	}
}

// fieldsAndOthers are the fields of an audit entry with another value than it has.
func fieldsAndOthers(e *wire.AuditEntry) map[protoreflect.FieldDescriptor]protoreflect.Value {
	out := map[protoreflect.FieldDescriptor]protoreflect.Value{}
	fields := e.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		f, was := fields.Get(i), e.ProtoReflect().Get(fields.Get(i))
		switch f.Kind() {
		case protoreflect.StringKind:
			out[f] = protoreflect.ValueOfString(was.String() + "x")
		case protoreflect.BytesKind:
			if f.Name() != "hash" || len(was.Bytes()) > 0 {
				out[f] = protoreflect.ValueOfBytes(append([]byte("x"), was.Bytes()...))
			}
		case protoreflect.Uint64Kind:
			if f.Name() != "seq" { // which tells of another entry
				out[f] = protoreflect.ValueOfUint64(was.Uint() + 1)
			}
		case protoreflect.Uint32Kind:
			out[f] = protoreflect.ValueOfUint32(uint32(was.Uint()) + 1)
		case protoreflect.Int64Kind:
			out[f] = protoreflect.ValueOfInt64(was.Int() + 1)
		}
	}
	return out
}
