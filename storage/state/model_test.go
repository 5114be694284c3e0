package state

import (
	"bytes"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/wire"
)

// randomCommand draws from few names, so that commands meet.
func randomCommand(t *rapid.T) *wire.Command {
	pick := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
	node := func() string { return pick("node", "n1", "n2", "n3") }
	name := func() string { return pick("name", "a", "b") }
	number := func(label string, most int) int64 { return int64(rapid.IntRange(0, most).Draw(t, label)) }
	states := []wire.NodeState{active, draining, removed}
	var c *wire.Command
	switch pick("command", "node", "set", "tenant", "key", "key", "revoke", "deploy", "deploy", "undeploy", "place", "place", "unplace",
		"model", "remove model", "token", "use", "use", "secret", "setting") {
	case "node":
		c = putNode(&wire.Node{Id: node(), Region: name(), JoinedMs: 1 + number("joined", 3), State: wire.NodeState(number("state", 2))})
	case "set":
		c = setNode(node(), states[number("state", 2)])
	case "tenant":
		c = putTenant(&wire.Tenant{Id: name(), Name: name()})
	case "key":
		c = putKey(pick("key", "k1", "k2", "k3", "k4", "k5"), name(), name())
		c.GetPutKey().Key.ExpiresMs = number("expires", 1) * 1005
	case "revoke":
		c = revokeKey(pick("key", "k1", "k2", "k3", "k4", "k5"))
	case "deploy":
		d := &wire.Deployment{Name: name(), Engine: "embedded", Model: pick("model", "", "m1", "m2"), Replicas: uint32(number("replicas", 1)), Context: uint32(number("context", 1))}
		if rapid.Bool().Draw(t, "options") {
			d.Options = map[string]string{"x": "1", "y": name(), "z": "2"}
		}
		c = deploy(d)
	case "undeploy":
		c = undeploy(name())
	case "place":
		c = place(pick("instance", "i1", "i2", "i3"), name(), node())
	case "unplace":
		c = unplace(pick("instance", "i1", "i2", "i3"))
	case "model":
		c = putModel(pick("model", "m1", "m2"), name())
	case "remove model":
		c = removeModel(pick("model", "m1", "m2"))
	case "token":
		c = putToken(name(), uint32(number("uses", 2)), number("expires", 1)*1005)
	case "use":
		c = useToken(name(), 0)
	case "secret":
		c = putSecret(name(), name(), uint64(number("expect", 3)))
	case "setting":
		c = putSetting(name(), name())
	}
	c.Level, c.AtMs = 1, 1000
	if c.GetPutTenant() == nil { // whose first clock stays
		c.AtMs += number("at", 10)
	}
	c.RequestId = pick("request", "", "", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8")
	return c
}

// pair is a Raft server's state, a follower's of its feed, and what they should be.
type pair struct {
	server, follower *replica
	plain            *plain
	changes          []Change
	index            uint64
}

func (p *pair) apply(t *rapid.T) {
	p.index += uint64(rapid.IntRange(1, 3).Draw(t, "step")) // Raft has entries of its own
	c := randomCommand(t)
	p.changes = nil
	got := p.server.Apply(&raft.Log{Index: p.index, Term: p.index / 8, Data: encode(t, c)}).(*wire.Result)
	want := p.plain.apply(p.index, c)
	if (got.GetMessage() == "") != (got.GetCode() == "") {
		t.Fatalf("code %q with the message %q", got.GetCode(), got.GetMessage())
	}
	got.Message = ""
	if !proto.Equal(got, want) {
		t.Fatalf("%v\nanswers %v\nwant    %v", c, got, want)
	}
	if len(p.changes) != 1 || p.changes[0].Index != p.index || p.changes[0].Reset {
		t.Fatalf("subscribers were told %v of entry %d", p.changes, p.index)
	}
	told := map[Ref]bool{}
	for _, r := range p.changes[0].Records {
		told[r] = true
	}
	for r := range p.plain.changed {
		if !told[r] {
			t.Fatalf("%v\nchanged %v and told %v", c, p.plain.changed, told)
		}
		delete(told, r)
	}
	if len(told) > 0 {
		t.Fatalf("%v\ndid not change %v", c, told)
	}
}

func (p *pair) configure(*rapid.T) {
	p.index++
	p.server.StoreConfiguration(p.index, raft.Configuration{})
}

// follow brings the follower up to date as the feed does.
func (p *pair) follow(t *rapid.T) {
	for p.follower.Index() < p.server.Index() {
		list, ok := p.server.Entries(p.follower.Index(), rapid.IntRange(1, 4).Draw(t, "entries"))
		if !ok {
			try(t, p.follower.ReadSnapshot(bytes.NewReader(snapshotOf(t, p.server.Store))))
			continue
		}
		for _, e := range list {
			_, err := p.follower.ApplyEntry(e)
			try(t, err)
		}
	}
	sameHash(t, "server and follower", p.server.Store, p.follower.Store)
}

func (p *pair) restart(t *rapid.T) {
	before, _ := p.server.Hash()
	p.server = p.server.restart(t)
	p.server.Subscribe(func(c Change) { p.changes = append(p.changes, c) })
	if after, at := p.server.Hash(); at != p.index || !bytes.Equal(before, after) {
		t.Fatalf("a restart at %d came back to %d, with the same hash: %v", p.index, at, bytes.Equal(before, after))
	}
}

func (p *pair) check(t *rapid.T) {
	if p.server.Index() != p.index {
		t.Fatalf("index %d, want %d", p.server.Index(), p.index)
	}
	sameRecords(t, p.server.Nodes(), byName(p.plain.nodes), p.server.Node, (*wire.Node).GetId)
	sameRecords(t, p.server.Tenants(), byName(p.plain.tenants), p.server.Tenant, (*wire.Tenant).GetId)
	sameRecords(t, p.server.Deployments(), byName(p.plain.deploys), p.server.Deployment, (*wire.Deployment).GetName)
	sameRecords(t, p.server.Placements(), byName(p.plain.placements), p.server.Placement, (*wire.Placement).GetInstance)
	sameRecords(t, p.server.Models(), byName(p.plain.models), p.server.Model, (*wire.Model).GetName)
	sameRecords(t, p.server.Tokens(), byName(p.plain.tokens), p.server.Token, (*wire.JoinToken).GetId)
	keys, _ := p.server.Keys("", "", 100)
	sameRecords(t, keys, byName(p.plain.keys), p.server.Key, (*wire.APIKey).GetId)
	for _, tenant := range []string{"a", "b"} {
		var want []*wire.APIKey
		for _, k := range byName(p.plain.keys) {
			if k.Tenant == tenant {
				want = append(want, k)
			}
		}
		keys, _ := p.server.Keys(tenant, "", 100)
		sameRecords(t, keys, want, p.server.Key, (*wire.APIKey).GetId)
	}
	for name, want := range p.plain.secrets {
		if got, ok := p.server.Secret(name); !ok || !proto.Equal(got, want) {
			t.Fatalf("secret %q is %v, want %v", name, got, want)
		}
	}
	for name, want := range p.plain.settings {
		if got, ok := p.server.Setting(name); !ok || got != want {
			t.Fatalf("setting %q is %q, want %q", name, got, want)
		}
	}
}

func sameRecords[M proto.Message](t *rapid.T, got, want []M, one func(string) (M, bool), name func(M) string) {
	if len(got) != len(want) {
		t.Fatalf("%d records of %T, want %d:\n%v\n%v", len(got), want, len(want), got, want)
	}
	for i := range got {
		if !proto.Equal(got[i], want[i]) {
			t.Fatalf("record %d is\n%v, want\n%v", i, got[i], want[i])
		}
		if m, ok := one(name(want[i])); !ok || !proto.Equal(m, want[i]) {
			t.Fatalf("record %q by its name is\n%v, want\n%v", name(want[i]), m, want[i])
		}
	}
}

func TestStateAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		small := usual
		small.entries = 6 // so that followers need snapshots
		p := &pair{server: start(t, vfs.NewMem(), small), follower: start(t, vfs.NewMem(), usual), plain: newPlain()}
		defer func() { p.server.db.Close(); p.follower.db.Close() }()
		p.server.Subscribe(func(c Change) { p.changes = append(p.changes, c) })
		t.Repeat(map[string]func(*rapid.T){
			"": p.check, "apply": p.apply, "and apply": p.apply, "apply again": p.apply, "apply more": p.apply, "apply still more": p.apply,
			"configure": p.configure, "follow": p.follow, "restart": p.restart,
		})
	})
}
