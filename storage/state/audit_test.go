package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func TestAuditEntry(t *testing.T) {
	r := staffed(t)
	seq, head := r.AuditHead()
	c := at(7000, putSetting("site/name", "here"))
	c.Principal, c.From, c.RequestId = "user/ann", "192.0.2.7", "req-1"
	res := r.ok(t, c)
	r.ok(t, c) // a replay is no second entry
	list, next := r.Audit(AuditFilter{Newest: true}, "", 1)
	want := &wire.AuditEntry{
		Seq: seq + 1, Index: res.GetIndex(), AtMs: 7000, Actor: "user/ann", From: "192.0.2.7", Action: "settings.set", Target: "setting:site/name",
		Outcome: "ok", After: `{"name":"site/name","value":"here"}`, Request: "req-1", Previous: head, Hash: list[0].GetHash(),
	}
	checkRecord(t, list[0], want)
	if next == "" || len(want.Hash) != hashBytes {
		t.Errorf("the cursor %q, the hash %x", next, want.Hash)
	}
	checkLog(t, r)
}

// TestAuditedActions goes through what happens to every kind of record, and what
// the log says of it.
func TestAuditedActions(t *testing.T) {
	r := newReplica(t)
	joined := func(ms int64) *wire.Command { return at(1000, putNode(&wire.Node{Id: "n1", JoinedMs: ms})) }
	for _, c := range []struct {
		c    *wire.Command
		want string
	}{
		{joined(1), "nodes.join node:n1 ok"}, {joined(1), ""}, {at(1, setNode("n1", draining)), "nodes.drain node:n1 ok"}, {at(1, setNode("n1", active)), "nodes.resume node:n1 ok"},
		{at(1, setNode("n1", removed)), "nodes.remove node:n1 ok"}, {joined(1), ""}, {joined(2), "nodes.join node:n1 ok"}, {at(1, setNode("n9", 0)), "nodes.change node:n9 not_found"},
		{at(1, putTenant(&wire.Tenant{Id: "a"})), "tenants.create tenant:a ok"}, {at(1, putTenant(&wire.Tenant{Id: "a", Name: "A"})), "tenants.change tenant:a ok"},
		{at(1, putModel("m", "1")), "models.import model:m ok"},
		{at(1, deploy(&wire.Deployment{Name: "d", Model: "m"})), "deployments.create deployment:d ok"}, {at(1, deploy(&wire.Deployment{Name: "d", Model: "x"})), "deployments.change deployment:d not_found"},
		{at(1, place("i", "d", "n1")), ""}, {at(1, unplace("i")), ""}, {at(1, removeModel("m")), "models.remove model:m conflict"}, {at(1, undeploy("d")), "deployments.remove deployment:d ok"},
		{at(1, putToken("t", 1, 0)), "tokens.create token:t ok"}, {at(1, useToken("t", 1)), "tokens.use token:t ok"}, {at(1, useToken("t", 1)), "tokens.use token:t join_token_exhausted"}, {at(1, revokeToken("t")), "tokens.revoke token:t ok"},
		{at(1, putSecret("s", "x", 0)), "secrets.put secret:s ok"}, {at(1, putSetting("s", "x")), "settings.set setting:s ok"}, {removeSetting("s"), "settings.remove setting:s ok"},
		{at(1, putKey("k", "a", "k")), "keys.create key:k ok"}, {changeKey(&wire.APIKey{Id: "k", Name: "l"}), "keys.change key:k ok"}, {rotateKey("k", "n", 0), "keys.rotate key:k ok"},
		{putUser(&wire.User{Id: "u", Name: "u"}, 0), "users.create user:u ok"}, {putUser(&wire.User{Id: "u", Name: "v"}, 1), "users.change user:u ok"},
		{putRole(&wire.AccessRole{Id: "r"}, 0), "roles.create role:r ok"}, {putRole(&wire.AccessRole{Id: "r"}, 1), "roles.change role:r ok"},
		{bind("b", "user:u", "r", ""), "bindings.create binding:b ok"}, {unbind("b"), "bindings.remove binding:b ok"}, {removeRole("r"), "roles.remove role:r ok"},
		{putSession("s", "u", 9000), "sessions.create session:s ok"}, {refresh("s", "f", "1", "2"), ""}, {refresh("s", "g", "1", "2"), "sessions.refresh session:s invalid_refresh_token"},
		{revokeSession("s", ""), "sessions.revoke session:s ok"}, {revokeSession("", "u"), "sessions.revoke user:u ok"},
		{at(1, revokeKey("k")), "keys.revoke key:k ok"}, {touchKeys(), ""}, {removeUser("u"), "users.remove user:u ok"}, {removeTenant("a"), "tenants.remove tenant:a ok"},
		{noteAudit(&wire.NoteAudit{Action: "login", Target: "user:x", Outcome: "login_failed", Count: 3}), "login user:x login_failed"}, {noteAudit(&wire.NoteAudit{}), ""},
	} {
		seq, _ := r.AuditHead()
		r.do(t, c.c)
		var want []string
		if c.want != "" {
			want = []string{c.want}
		}
		if got := r.lines(t, seq); !slices.Equal(got, want) {
			t.Errorf("%v\nis %q in the audit log, want %q", c.c, got, want)
		}
	}
	checkLog(t, r)
}

// TestNoAuditBelowItsLevel: a member of an older build would write none.
func TestNoAuditBelowItsLevel(t *testing.T) {
	r := filled(t) // by commands of level 1
	if seq, hash := r.AuditHead(); seq != 0 || hash != nil || r.Needs() != 1 {
		t.Errorf("commands of level 1 have written the audit log up to %d", seq)
	}
	if list, next := r.Audit(AuditFilter{}, "", 0); len(list) != 0 || next != "" {
		t.Errorf("there are %v, and more at %q", list, next)
	}
}

// TestAuditHidesSecrets plants one in every field that holds any.
func TestAuditHidesSecrets(t *testing.T) {
	r := staffed(t)
	const planted = "planted"
	raw := []byte(planted + strings.Repeat("!", hashBytes-len(planted)))
	key := at(1000, putKey("kx", "acme", "x"))
	key.GetPutKey().Key.Hash = raw
	token := at(1000, putToken("tx", 1, 0))
	token.GetPutToken().Token.Hash = raw
	session := putSession("sx", "ann", 9000)
	session.GetPutSession().Session.FamilyHash, session.GetPutSession().Session.RefreshHash = raw, raw
	secret := at(1000, putSecret("x", planted, 0))
	secret.GetPutSecret().Secret.Nonce = raw
	secret.GetPutSecret().Secret.Wrapped = []*wire.WrappedKey{{Node: "n1", Ephemeral: raw, Ciphertext: raw}}
	for _, c := range []*wire.Command{
		key, token, session, secret, rotateKey("kx", "n", 100),
		putUser(&wire.User{Id: "ux", Name: "x", Password: planted}, 0), putUser(&wire.User{Id: "ux", Name: "y", Password: planted + "2"}, 1), removeUser("ux"),
		at(1000, putSetting("a/client-secret", planted)), at(1000, putSetting("a/PASSWORD", planted)), at(1000, putSetting("token", planted)), removeSetting("token"),
		at(1000, putSetting("proxy", "http://"+planted+":"+planted+"@host:1/path@x?y")),
		at(1000, deploy(&wire.Deployment{Name: "x", Engine: "external", Options: map[string]string{"api-key": planted, "url": "https://" + planted + "@host"}})),
	} {
		r.ok(t, c)
	}
	hexed := fmt.Sprintf("%x", planted)
	for _, e := range r.whole(t) {
		if text := e.String(); strings.Contains(text, planted) || strings.Contains(text, hexed) {
			t.Errorf("a secret is in %s", text)
		}
		for _, text := range []string{e.GetBefore(), e.GetAfter()} {
			if text != "" && !json.Valid([]byte(text)) {
				t.Errorf("%q is no JSON", text)
			}
		}
	}
	list, _ := r.Audit(AuditFilter{Target: "setting:proxy"}, "", 1)
	if got := list[0].GetAfter(); got != `{"name":"proxy","value":"http://***@host:1/path@x?y"}` {
		t.Errorf("the setting is %s", got)
	}
}

func TestRecordJSON(t *testing.T) {
	d := &wire.Deployment{Name: "a\"\\\n<b>é", Version: 3, Options: map[string]string{"z": "1", "a": "2", "m": "3"}, Replicas: 2, Regions: []string{"x", "y"}, CreatedMs: -5}
	const want = `{"name":"a\"\\\u000a<b>é","version":3,"options":{"a":"2","m":"3","z":"1"},"replicas":2,"regions":["x","y"],"created_ms":-5}`
	for range 20 { // maps have no order
		if got := recordJSON(d); got != want {
			t.Fatalf("%s\nwant\n%s", got, want)
		}
	}
	for _, c := range []struct {
		m    proto.Message
		want string
	}{
		{nil, ""}, {&wire.Node{}, "{}"},
		{&wire.Node{Id: "n", State: draining, SealKey: []byte{1, 255}}, `{"id":"n","state":"NODE_STATE_DRAINING","seal_key":"01ff"}`},
		{&wire.Node{State: 77}, `{"state":77}`},
		{&wire.User{Service: true, Password: "x"}, `{"service":true,"password":"***"}`},
		{&wire.AccessRole{Permissions: []*wire.Permission{{Verb: "a"}, {}}}, `{"permissions":[{"verb":"a"},{}]}`},
	} {
		if got := recordJSON(c.m); got != c.want {
			t.Errorf("%s\nwant\n%s", got, c.want)
		}
	}
	m := &wire.Model{Name: "big", Size: 9, ImportedOn: "n1"}
	for range 100_000 {
		m.Chunks = append(m.Chunks, sum("c"))
	}
	got := recordJSON(m)
	if want := `{"name":"big","size":9,"imported_on":"n1","_cut":["chunks"]}`; got != want {
		t.Errorf("%.200s, want %s", got, want)
	}
	var seen map[string]any
	whole := &wire.User{Id: strings.Repeat("\x01", 500), Name: strings.Repeat("é", 1000), Email: strings.Repeat("x", 3000), Display: "d", Groups: make([]string, 5000)}
	text := recordJSON(whole)
	if err := json.Unmarshal([]byte(text), &seen); err != nil || len(text) > maxAudited || seen["display"] != "d" {
		t.Errorf("%v in %d bytes: %.100s", err, len(text), text)
	}
}

// auditing is a log of 60 entries: actors, targets, tenants and clocks in turns.
func auditing(t *testing.T) (r *replica, log []*wire.AuditEntry) {
	t.Helper()
	r = newReplica(t)
	for i := range 60 {
		c := noteAudit(&wire.NoteAudit{Action: "try", Target: []string{"key:a", "key:ab", "key:b"}[i%3], Tenant: []string{"acme", ""}[i%2]})
		c.Principal, c.AtMs = []string{"user/x", "key/y", "user/z", ""}[i%4], int64(1000+10*(i/3)-15*(i%5)) // clocks differ
		r.ok(t, c)
	}
	return r, r.whole(t)
}

// TestAuditFilters compares pages of every size with a plain search.
func TestAuditFilters(t *testing.T) {
	r, log := auditing(t)
	if len(log) != 60 {
		t.Fatalf("the log has %d entries", len(log))
	}
	number := func(e *wire.AuditEntry) string { return fmt.Sprint(e.GetSeq()) }
	for _, f := range []AuditFilter{
		{}, {Actor: "user/x"}, {Actor: "user"}, {Target: "key:a"}, {Tenant: "acme"}, {Actor: "key/y", Target: "key:ab"}, {Actor: "user/x", Tenant: "acme"},
		{FromMS: 1050}, {ToMS: 1050}, {FromMS: 1000, ToMS: 1100}, {FromMS: 1100, ToMS: 1000}, {Target: "key:b", FromMS: 1020, ToMS: 1130}, {Actor: "none"}, {FromMS: 1 << 60},
	} {
		for _, newest := range []bool{false, true} {
			f.Newest = newest
			var fit []*wire.AuditEntry
			for _, e := range log {
				if f.fits(e) {
					fit = append(fit, e)
				}
			}
			if (f != AuditFilter{Newest: newest}) {
				slices.SortStableFunc(fit, func(a, b *wire.AuditEntry) int { return int(a.GetAtMs() - b.GetAtMs()) })
			}
			if newest {
				slices.Reverse(fit)
			}
			want := []string{}
			for _, e := range fit {
				want = append(want, number(e))
			}
			for limit := 1; limit <= 61; limit += 4 {
				if got := auditAll(t, r, f, limit, number); !slices.Equal(got, want) {
					t.Errorf("%+v, %d at a time: %v, want %v", f, limit, got, want)
				}
			}
		}
	}
	if list, next := r.Audit(AuditFilter{}, "no cursor", 5); len(list) != 0 || next != "" {
		t.Errorf("a cursor of nobody's gives %v", list)
	}
}

func auditAll(t *testing.T, r *replica, f AuditFilter, limit int, name func(*wire.AuditEntry) string) []string {
	t.Helper()
	names, cursor := []string{}, ""
	for range 100 {
		page, next := r.Audit(f, cursor, limit)
		if len(page) > limit {
			t.Fatalf("a page of %d has %d", limit, len(page))
		}
		for _, e := range page {
			names = append(names, name(e))
		}
		if next == "" {
			return names
		}
		cursor = next
	}
	t.Fatal("the cursors do not come to an end")
	return nil
}

// TestTamperingShows changes every field of every entry, takes entries out, puts
// others in, and hashes the changed ones anew.
func TestTamperingShows(t *testing.T) {
	_, log := auditing(t)
	try(t, VerifyAudit(log))
	try(t, VerifyAudit(log[20:40]))
	try(t, VerifyAudit(nil))
	spoiled := func(what string, i int, change func(list []*wire.AuditEntry) []*wire.AuditEntry) {
		t.Helper()
		var list []*wire.AuditEntry
		for _, e := range log {
			list = append(list, proto.CloneOf(e))
		}
		err := VerifyAudit(change(list))
		if !errors.Is(err, ErrAudit) || !strings.Contains(err.Error(), fmt.Sprint("entry ", i+1)) {
			t.Errorf("%s, entry %d: %v", what, i+1, err)
		}
	}
	for i := range log {
		for f, v := range fieldsAndOthers(log[i]) {
			spoiled(string(f.Name()), i, func(list []*wire.AuditEntry) []*wire.AuditEntry {
				list[i].ProtoReflect().Set(f, v)
				return list
			})
		}
		if i+1 == len(log) {
			break
		}
		spoiled("hashed anew", i+1, func(list []*wire.AuditEntry) []*wire.AuditEntry {
			list[i].Message = "another"
			list[i].Hash = auditHash(list[i])
			return list
		})
		if i > 0 {
			spoiled("taken out", i+1, func(list []*wire.AuditEntry) []*wire.AuditEntry { return slices.Delete(list, i, i+1) })
		}
		spoiled("put in twice", i, func(list []*wire.AuditEntry) []*wire.AuditEntry { return slices.Insert(list, i, list[i]) })
		spoiled("in another order", i, func(list []*wire.AuditEntry) []*wire.AuditEntry {
			list[i], list[i+1] = list[i+1], list[i]
			return list[i:]
		})
	}
}

func TestAuditKeepsTheNewest(t *testing.T) {
	small := usual
	small.audits = 10
	r := start(t, vfs.NewMem(), small)
	defer func() { r.db.Close() }()
	for i := range 40 {
		r.ok(t, noteAudit(&wire.NoteAudit{Action: "try", Target: fmt.Sprint("x:", i)}))
		if i == 25 {
			r = r.restart(t)
		}
		log := r.whole(t)
		if want := min(i+1, 10); len(log) != want || log[len(log)-1].GetSeq() != uint64(i+1) {
			t.Fatalf("after %d entries %d are kept, want %d", i+1, len(log), want)
		}
		checkLog(t, r)
	}
	checkIndexes(t, "afterwards", r.Store)
}

func TestAuditKeepsDays(t *testing.T) {
	r := newReplica(t)
	day := (24 * time.Hour).Milliseconds()
	for i := range int64(40) {
		r.ok(t, at(i*day/4, noteAudit(&wire.NoteAudit{Action: "try"})))
	}
	for _, nonsense := range []string{"-1", "soon", "", "0"} {
		r.ok(t, at(10*day, putSetting(spec.SettingAuditKeep, nonsense)))
	}
	if log := r.whole(t); len(log) != 44 {
		t.Fatalf("%d entries are kept without a limit", len(log))
	}
	r.ok(t, at(10*day, putSetting(spec.SettingAuditKeep, "2")))
	for range 3 { // some at a time
		r.ok(t, at(10*day, noteAudit(&wire.NoteAudit{Action: "try"})))
	}
	if log := r.whole(t); log[0].GetAtMs() != 8*day {
		t.Errorf("the oldest kept is of day %v", float64(log[0].GetAtMs())/float64(day))
	}
	r.ok(t, at(1000*day, noteAudit(&wire.NoteAudit{Action: "try"}))) // 16 of what is older, and again
	r.ok(t, at(1000*day, noteAudit(&wire.NoteAudit{Action: "last"})))
	if log := r.whole(t); log[len(log)-1].GetAction() != "last" || len(log) != 2 {
		t.Errorf("%d entries are kept: %v", len(log), log)
	}
	checkLog(t, r)
}

// TestAuditTextIsBounded: what outsiders may choose finds its way into keys.
func TestAuditTextIsBounded(t *testing.T) {
	r := newReplica(t)
	long := strings.Repeat("é", 4000) // two bytes each
	c := noteAudit(&wire.NoteAudit{Action: "x" + long[:100], Target: "a" + long, Tenant: "a" + long, Message: "a" + long, Outcome: "a" + long})
	c.Principal, c.From = "p\x00q"+long, long
	r.ok(t, c)
	r.denied(t, spec.CodeNotFound, at(1, revokeKey("a\x00"+long)))
	for _, e := range r.whole(t) {
		for _, text := range []string{e.GetActor(), e.GetFrom(), e.GetTarget(), e.GetTenant(), e.GetMessage(), e.GetOutcome()} {
			if !utf8.ValidString(text) || strings.ContainsRune(text, 0) || len(text) > maxText {
				t.Errorf("%d bytes: %.40q", len(text), text)
			}
		}
	}
	checkLog(t, r)
	b := newReplica(t) // whose keys are not too long for it
	try(t, b.ReadSnapshot(strings.NewReader(string(snapshotOf(t, r.Store)))))
	sameHash(t, "restored", r.Store, b.Store)
	checkLog(t, b)
	r.ok(t, noteAudit(&wire.NoteAudit{Action: "next"}))
	b.ok(t, noteAudit(&wire.NoteAudit{Action: "next"}))
	sameHash(t, "the next entry", r.Store, b.Store)
}
