package state

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func checkRecord(t *testing.T, got, want proto.Message) {
	t.Helper()
	if !proto.Equal(got, want) {
		t.Fatalf("the record is\n%v, want\n%v", got, want)
	}
}

func TestNodes(t *testing.T) {
	r := filled(t)
	n, _ := r.Node("n1")
	if n.GetState() != active || n.GetJoinedMs() != 1000 {
		t.Fatalf("a new node is %v", n)
	}
	r.ok(t, setNode("n1", draining))
	r.ok(t, putNode(&wire.Node{Id: "n1", Region: "west"})) // without a state: keeps it
	n, _ = r.Node("n1")
	checkRecord(t, n, &wire.Node{Id: "n1", Region: "west", State: draining, JoinedMs: 1000})
	r.refused(t, spec.CodeNotFound, setNode("n9", active))
	r.refused(t, spec.CodeInvalidRequest, setNode("n1", 0))
	r.refused(t, spec.CodeInvalidRequest, setNode("n1", 17))
	r.refused(t, spec.CodeInvalidRequest, putNode(&wire.Node{Id: "n1", State: 17}))
	r.refused(t, spec.CodeInvalidRequest, putNode(&wire.Node{Id: "N 1"}))
	r.refused(t, spec.CodeInvalidRequest, putNode(&wire.Node{Id: "n3", Roles: []string{"king"}}))
	r.refused(t, spec.CodeInvalidRequest, putNode(nil))
	if got := len(r.Nodes()); got != 2 {
		t.Fatalf("%d nodes", got)
	}
}

func TestRemovedNodeComesBackByJoiningOnly(t *testing.T) {
	r := filled(t)
	r.ok(t, setNode("n1", removed))
	if _, ok := r.Placement("chat-1"); ok {
		t.Error("the placement on the removed node is still there")
	}
	if _, ok := r.Placement("chat-2"); !ok {
		t.Error("the placement on the other node is gone")
	}
	r.ok(t, setNode("n1", removed)) // a second time is no failure
	r.refused(t, spec.CodeNodeRemoved, setNode("n1", active))
	r.refused(t, spec.CodeNodeRemoved, putNode(&wire.Node{Id: "n1", State: active, JoinedMs: 1000}))
	r.refused(t, spec.CodeNodeRemoved, putNode(&wire.Node{Id: "n1", State: active}))
	r.refused(t, spec.CodeNodeRemoved, place("chat-3", "chat", "n1"))
	r.ok(t, putNode(&wire.Node{Id: "n1", JoinedMs: 1001}))
	if n, _ := r.Node("n1"); n.GetState() != active {
		t.Fatalf("the node that joined again is %v", n.GetState())
	}
	r.ok(t, place("chat-3", "chat", "n1"))
	r.ok(t, putNode(&wire.Node{Id: "n1", State: removed, JoinedMs: 1001}))
	if _, ok := r.Placement("chat-3"); ok {
		t.Error("a record that says removed leaves its placement")
	}
}

func TestKeys(t *testing.T) {
	r := filled(t)
	r.refused(t, spec.CodeAlreadyExists, putKey("k1", "acme", "third"))
	r.refused(t, spec.CodeAlreadyExists, putKey("k2", "acme", "third")) // although revoked
	r.refused(t, spec.CodeAlreadyExists, putKey("k9", "acme", "one"))
	r.ok(t, putKey("k4", "acme", "two")) // its holder was revoked
	r.refused(t, spec.CodeNotFound, revokeKey("k9"))
	r.ok(t, revokeKey("k1"))
	again := revokeKey("k1")
	again.AtMs = 9000
	r.ok(t, again)
	k, ok := r.Key("k1")
	if !ok || k.GetRevokedMs() != 2000 || k.GetCreatedMs() != 1000 {
		t.Fatalf("the revoked key: %v", k)
	}
	for name, spoil := range map[string]func(*wire.APIKey){
		"no id": func(k *wire.APIKey) { k.Id = "" }, "no name": func(k *wire.APIKey) { k.Name = "" },
		"no tenant": func(k *wire.APIKey) { k.Tenant = "" }, "short hash": func(k *wire.APIKey) { k.Hash = []byte("x") },
		"zero byte": func(k *wire.APIKey) { k.Tenant = "a\x00b" }, "long": func(k *wire.APIKey) { k.Name = strings.Repeat("x", 257) },
	} {
		t.Run(name, func(t *testing.T) {
			c := putKey("new", "acme", "new")
			spoil(c.GetPutKey().GetKey())
			r.refused(t, spec.CodeInvalidRequest, c)
		})
	}
}

func TestExpiredKeyFreesItsName(t *testing.T) {
	r := newReplica(t)
	c := putKey("k1", "acme", "ci")
	c.GetPutKey().Key.ExpiresMs = 5000
	r.ok(t, c)
	c = putKey("k2", "acme", "ci")
	c.AtMs = 4999
	r.refused(t, spec.CodeAlreadyExists, c)
	c.AtMs = 5000
	r.ok(t, c)
	c = putKey("k3", "acme", "ci")
	c.AtMs = 6000
	r.refused(t, spec.CodeAlreadyExists, c)
}

func TestPagesOfKeys(t *testing.T) {
	r := newReplica(t)
	for _, id := range []string{"b", "a", "d", "c", "e"} {
		r.ok(t, putKey(id, "acme", "name of "+id))
		r.ok(t, putKey("x"+id, "acm", "name of "+id))
	}
	r.ok(t, revokeKey("c"))
	for _, c := range []struct {
		tenant, cursor string
		limit          int
		ids, next      string
	}{
		{"acme", "", 2, "a b", "b"},
		{"acme", "b", 2, "c d", "d"},
		{"acme", "d", 2, "e", ""},
		{"acme", "e", 2, "", ""},
		{"acme", "", 5, "a b c d e", ""},
		{"acme", "bb", 0, "c d e", ""},
		{"acm", "", 9, "xa xb xc xd xe", ""},
		{"nobody", "", 9, "", ""},
		{"", "", 3, "a b c", "c"},
		{"", "e", 9, "xa xb xc xd xe", ""},
	} {
		page, next := r.Keys(c.tenant, c.cursor, c.limit)
		var ids []string
		for _, k := range page {
			ids = append(ids, k.GetId())
		}
		if got := strings.Join(ids, " "); got != c.ids || next != c.next {
			t.Errorf("keys of %q after %q, %d at a time: %q then %q, want %q then %q", c.tenant, c.cursor, c.limit, got, next, c.ids, c.next)
		}
	}
}

func TestDeploymentVersions(t *testing.T) {
	r := newReplica(t)
	r.ok(t, putModel("tiny", "d"))
	at := int64(1000)
	version := func(want uint64, change func(*wire.Deployment)) {
		t.Helper()
		d := &wire.Deployment{Name: "chat", Engine: "embedded", Model: "tiny", Replicas: 1, Version: 99}
		change(d)
		at++
		c := deploy(d)
		c.AtMs = at
		res := r.ok(t, c)
		got, _ := r.Deployment("chat")
		if got.GetVersion() != want || res.GetVersion() != want {
			t.Fatalf("version %d, answered as %d, want %d", got.GetVersion(), res.GetVersion(), want)
		}
	}
	same := func(*wire.Deployment) {}
	version(1, same)
	version(1, same)
	if d, _ := r.Deployment("chat"); d.GetChangedMs() != 1001 {
		t.Fatalf("a change that changes nothing is dated %d", d.GetChangedMs())
	}
	version(1, func(d *wire.Deployment) {
		d.Replicas = 4
		d.Regions = []string{"north"}
		d.MinPerRegion = 1
		d.Tenant = "acme"
	})
	if d, _ := r.Deployment("chat"); d.GetChangedMs() != 1003 || d.GetCreatedMs() != 1001 || d.GetReplicas() != 4 {
		t.Fatalf("after a change of replicas: %v", d)
	}
	version(2, func(d *wire.Deployment) { d.Context = 512 })
	version(3, func(d *wire.Deployment) { d.Context = 512; d.Options = map[string]string{"x": "1"} })
	version(4, func(d *wire.Deployment) { d.Slots = 2 })
	version(5, func(d *wire.Deployment) { d.Engine = "external"; d.Model = "" })
	version(6, func(d *wire.Deployment) { d.MemoryBytes = 1 })
	version(7, same)
	if res := r.ok(t, undeploy("chat")); res.GetVersion() != 7 {
		t.Fatalf("the removal is of version %d", res.GetVersion())
	}
	r.refused(t, spec.CodeNotFound, undeploy("chat"))
	version(8, same) // goes on from where it was
	r.ok(t, putModel("tiny", "d"))
	version(8, same)
	r.ok(t, putModel("tiny", "e")) // other content
	version(9, same)
	r.refused(t, spec.CodeNotFound, deploy(&wire.Deployment{Name: "other", Model: "huge"}))
	r.refused(t, spec.CodeInvalidRequest, deploy(&wire.Deployment{}))
}

// TestNamesOfAdapters: one name is of one thing, unless a deployment takes it later.
func TestNamesOfAdapters(t *testing.T) {
	r := filled(t)
	with := func(name string, adapters ...string) *wire.Command {
		d := &wire.Deployment{Name: name, Engine: "embedded", Replicas: 1}
		for _, a := range adapters {
			d.Adapters = append(d.Adapters, &wire.Adapter{Name: a, Model: "tiny"})
		}
		return deploy(d)
	}
	refused := func(code spec.Code, c *wire.Command) { // which the audit log, of a level that knows adapters, tells
		t.Helper()
		if res := r.do(t, c); res.GetCode() != string(code) {
			t.Fatalf("%v: code %q (%s), want %q", c, res.GetCode(), res.GetMessage(), code)
		}
	}
	r.ok(t, with("one", "one-fr", "one-de"))
	r.ok(t, with("one", "one-fr")) // the same deployment again
	refused(spec.CodeAlreadyExists, with("two", "one-fr"))
	refused(spec.CodeAlreadyExists, with("two", "one"))
	refused(spec.CodeAlreadyExists, with("two", "two"))
	refused(spec.CodeAlreadyExists, with("two", "two-fr", "two-fr"))
	r.ok(t, with("two", "one-de")) // which is free again
	r.ok(t, with("one-fr"))        // a deployment's own name
	refused(spec.CodeAlreadyExists, with("one", "one-fr", "one-es"))
}

func TestModels(t *testing.T) {
	r := filled(t)
	r.refused(t, spec.CodeConflict, removeModel("tiny"))
	r.refused(t, spec.CodeNotFound, removeModel("huge"))
	r.ok(t, undeploy("chat"))
	r.ok(t, removeModel("tiny"))
	if got := r.Models(); len(got) != 0 {
		t.Fatalf("models: %v", got)
	}
	for name, spoil := range map[string]func(*wire.Model){
		"no name": func(m *wire.Model) { m.Name = "" }, "short digest": func(m *wire.Model) { m.Digest = m.Digest[1:] },
		"a chunk too many": func(m *wire.Model) { m.Size = 8 }, "a chunk too few": func(m *wire.Model) { m.Size = 13 },
		"no chunk size": func(m *wire.Model) { m.ChunkSize = 0 }, "short chunk digest": func(m *wire.Model) { m.Chunks[1] = nil },
	} {
		t.Run(name, func(t *testing.T) {
			c := putModel("new", "d")
			spoil(c.GetPutModel().GetModel())
			r.refused(t, spec.CodeInvalidRequest, c)
		})
	}
}

func TestPlacements(t *testing.T) {
	r := filled(t)
	res := r.ok(t, place("chat-3", "chat", "n1"))
	p, ok := r.Placement("chat-3")
	if !ok || p.GetEpoch() != r.Index() || res.GetVersion() != r.Index() {
		t.Fatalf("epoch %d, answered as %d, at index %d", p.GetEpoch(), res.GetVersion(), r.Index())
	}
	r.ok(t, place("chat-3", "chat", "n2"))
	if moved, _ := r.Placement("chat-3"); moved.GetEpoch() <= p.GetEpoch() || moved.GetNode() != "n2" {
		t.Fatalf("placed again: %v", moved)
	}
	r.ok(t, deploy(&wire.Deployment{Name: "embed", Engine: "external"}))
	r.refused(t, spec.CodeAlreadyExists, place("chat-3", "embed", "n1"))
	r.refused(t, spec.CodeNotFound, place("x-1", "nothing", "n1"))
	r.refused(t, spec.CodeNotFound, place("x-1", "chat", "n9"))
	r.refused(t, spec.CodeInvalidRequest, place("", "chat", "n1"))
	r.ok(t, setNode("n1", removed)) // n2 has chat-3 now
	if got := len(r.Placements()); got != 2 {
		t.Fatalf("%d placements are left", got)
	}
	r.ok(t, unplace("chat-3"))
	r.refused(t, spec.CodeNotFound, unplace("chat-3"))
}

func TestTokens(t *testing.T) {
	r := newReplica(t)
	r.ok(t, putToken("two", 2, 5000))
	r.ok(t, putToken("ever", 1, 0))
	r.refused(t, spec.CodeAlreadyExists, putToken("two", 9, 0))
	r.refused(t, spec.CodeTokenInvalid, useToken("none", 1))
	r.ok(t, useToken("two", 4999))
	r.refused(t, spec.CodeTokenExpired, useToken("two", 5000))
	r.ok(t, useToken("two", 4999))
	r.refused(t, spec.CodeTokenExhausted, useToken("two", 4999))
	r.ok(t, useToken("ever", 1<<60))
	r.ok(t, putToken("bad", 5, 0))
	r.ok(t, revokeToken("bad"))
	r.ok(t, revokeToken("bad"))
	r.refused(t, spec.CodeTokenRevoked, useToken("bad", 1))
	r.refused(t, spec.CodeNotFound, revokeToken("none"))
	c := putToken("odd", 1, 0)
	c.GetPutToken().Token.Role = "king"
	r.refused(t, spec.CodeInvalidRequest, c)
	if k, ok := r.Token("two"); !ok || k.GetUsesLeft() != 0 || len(r.Tokens()) != 3 {
		t.Fatalf("token %v of %d", k, len(r.Tokens()))
	}
}

func TestTenantsSecretsSettings(t *testing.T) {
	r := newReplica(t)
	r.ok(t, putTenant(&wire.Tenant{Id: "acme", Name: "A", CreatedMs: 7}))
	r.ok(t, putTenant(&wire.Tenant{Id: "acme", Name: "B"}))
	n, _ := r.Tenant("acme")
	checkRecord(t, n, &wire.Tenant{Id: "acme", Name: "B", CreatedMs: 7})
	r.refused(t, spec.CodeInvalidRequest, putTenant(&wire.Tenant{}))

	r.refused(t, spec.CodeConflict, putSecret("ca", "x", 1))
	r.ok(t, putSecret("ca", "x", 0))
	r.refused(t, spec.CodeConflict, putSecret("ca", "y", 0))
	if res := r.ok(t, putSecret("ca", "y", 1)); res.GetVersion() != 2 {
		t.Fatalf("the secret is at version %d", res.GetVersion())
	}
	if c, ok := r.Secret("ca"); !ok || string(c.GetCiphertext()) != "y" || c.GetVersion() != 2 {
		t.Fatalf("the secret is %v", c)
	}
	r.ok(t, putSetting("colour", "blue"))
	r.ok(t, putSetting("colour", ""))
	if v, ok := r.Setting("colour"); !ok || v != "" {
		t.Fatalf("the setting is %q, %v", v, ok)
	}
	if all := r.Settings(); len(all) != 1 || all[0] != (Setting{"colour", ""}) {
		t.Errorf("all settings: %q", all)
	}
	if _, ok := r.Setting("size"); ok {
		t.Fatal("a setting that was never made is there")
	}
	r.refused(t, spec.CodeInvalidRequest, putSetting("", "x"))
}
