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
		"model", "remove model", "token", "use", "use", "secret", "setting", "access", "access", "access", "access", "access", "access", "access", "access") {
	case "node":
		c = putNode(&wire.Node{Id: node(), Region: name(), JoinedMs: 1 + number("joined", 3), State: wire.NodeState(number("state", 2))})
	case "set":
		c = setNode(node(), states[number("state", 2)])
	case "tenant":
		c = putTenant(&wire.Tenant{Id: name(), Name: name()})
	case "key":
		c = putKey(pick("key", "k1", "k2", "k3", "k4", "k5"), name(), name())
		c.GetPutKey().Key.ExpiresMs = number("expires", 1) * 1005
		c.GetPutKey().Key.Owner = pick("owner", "", "u1", "u2")
	case "revoke":
		c = revokeKey(pick("key", "k1", "k2", "k3", "k4", "k5"))
	case "deploy":
		d := &wire.Deployment{Name: name(), Engine: "embedded", Model: pick("model", "", "m1", "m2"), Tenant: pick("tenant", "", "a"), Replicas: uint32(number("replicas", 1)), Context: uint32(number("context", 1))}
		if rapid.Bool().Draw(t, "options") {
			d.Options = map[string]string{"x": "1", "y": name(), "z": "2"}
		}
		c = deploy(d)
		c.GetPutDeployment().Moves, c.GetPutDeployment().From = rapid.Bool().Draw(t, "moves"), pick("from", "", "a")
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
	case "access":
		c = randomAccess(t)
	}
	c.Level, c.AtMs = uint32(1+number("level", 1)), 1000
	if c.GetPutTenant() == nil { // whose first clock stays
		c.AtMs += number("at", 10)
	}
	c.RequestId = pick("request", "", "", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8")
	return c
}

// randomAccess is a command that feature level 2 brought.
func randomAccess(t *rapid.T) *wire.Command {
	pick := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
	number := func(label string, most int) int64 { return int64(rapid.IntRange(0, most).Draw(t, label)) }
	user := func() string { return pick("user", "u1", "u1", "u2", "u3") }
	key := func() string { return pick("key", "k1", "k2", "k3", "k4", "k5") }
	session := func() string { return pick("session", "s1", "s1", "s2", "s3") }
	tenant := func() string { return pick("tenant", "", "a", "b") }
	switch pick("command of access", "user", "user", "user", "remove user", "role", "remove role", "bind", "bind", "bind", "unbind", "session", "session",
		"refresh", "refresh", "refresh", "revoke session", "revoke sessions", "change key", "rotate key", "touch", "remove tenant", "remove setting", "note") {
	case "user":
		u := &wire.User{Id: user(), Tenant: tenant(), Name: pick("name", "a", "b", "c"), DisabledMs: number("disabled", 1)}
		if u.Subject = pick("subject", "", "1", "2"); u.Subject != "" {
			u.Issuer = "https://sso"
		}
		return ending(putUser(u, uint64(number("expect", 2))), pick("end", "", "password changed"))
	case "remove user":
		return removeUser(user())
	case "role":
		r := &wire.AccessRole{Id: "r", Description: pick("text", "x", "y")}
		if r.Tenant = tenant(); r.Tenant != "" {
			r.Id = r.Tenant + "/r"
		}
		return putRole(r, uint64(number("expect", 2)))
	case "remove role":
		return removeRole(pick("role", "r", "a/r", "b/r"))
	case "bind":
		subject := pick("subject", "user:", "user:", "key:", "group:")
		switch subject {
		case "user:":
			subject += user()
		case "key:":
			subject += key()
		default:
			subject += "g"
		}
		return bind(pick("binding", "b1", "b2", "b3", "b4"), subject, pick("role", "viewer", "r", "a/r"), tenant())
	case "unbind":
		return unbind(pick("binding", "b1", "b2", "b3", "b4"))
	case "session":
		return putSession(session(), user(), pick2(t, 1005, 90_000))
	case "refresh":
		return refresh(session(), pick("family", "f", "f", "f", "g"), pick("token", "1", "2", "3"), pick("next", "1", "2", "3"))
	case "revoke session":
		return revokeSession(session(), pick("of", "", "u1"))
	case "revoke sessions":
		return revokeSession("", user())
	case "change key":
		c := changeKey(&wire.APIKey{Id: key(), Name: pick("name", "a", "b", "c"), Owner: pick("owner", "", "u1", "u2"), ExpiresMs: pick2(t, 0, 1005), Scopes: []string{"infer"}})
		if rapid.Bool().Draw(t, "expects") {
			c.GetChangeKey().ExpectVersion = proto.Uint64(uint64(number("version", 2)))
		}
		return c
	case "rotate key":
		return rotateKey(key(), pick("hash", "h", "i"), number("overlap", 1)*50)
	case "touch":
		return touchKeys(&wire.KeyUse{Id: key(), AtMs: 995 + number("use", 20)}, &wire.KeyUse{Id: key(), AtMs: 995 + number("use", 20)})
	case "remove tenant":
		return removeTenant(pick("name", "a", "b"))
	case "remove setting":
		return removeSetting(pick("name", "a", "b"))
	default:
		return noteAudit(&wire.NoteAudit{Action: "try", Target: pick("target", "x", "y"), Tenant: tenant()})
	}
}

func pick2(t *rapid.T, a, b int64) int64 { return rapid.SampledFrom([]int64{a, b}).Draw(t, "expires") }

// pair is a Raft server's state, a follower's of its feed, and what they should be.
type pair struct {
	server, follower *replica
	plain            *plain
	changes          []Change
	index            uint64
}

func (p *pair) apply(t *rapid.T) { p.hear(t, randomCommand(t)) }

// try applies a command about what is deployed, and as what.
func (p *pair) try(t *rapid.T) {
	c := randomTrial(t)
	if rapid.IntRange(0, 7).Draw(t, "informed") > 0 {
		p.plain.informed(c)
	}
	c.Level, c.AtMs = 6, 1000+int64(rapid.IntRange(0, 10).Draw(t, "at"))
	p.hear(t, c)
}

// hear applies a command to the server, and holds what it answers and tells against what it should.
func (p *pair) hear(t *rapid.T, c *wire.Command) {
	p.index += uint64(rapid.IntRange(1, 3).Draw(t, "step")) // Raft has entries of its own
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
	checkIndexes(t, "the server", p.server.Store)
	checkIndexes(t, "the follower", p.follower.Store)
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
	p.checkAccess(t)
	for name, want := range p.plain.secrets {
		if got, ok := p.server.Secret(name); !ok || !proto.Equal(got, want) {
			t.Fatalf("secret %q is %v, want %v", name, got, want)
		}
	}
	if n := len(p.server.Settings()); n != len(p.plain.settings) {
		t.Fatalf("%d settings, want %d", n, len(p.plain.settings))
	}
	for name, want := range p.plain.settings {
		if got, ok := p.server.Setting(name); !ok || got != want {
			t.Fatalf("setting %q is %q, want %q", name, got, want)
		}
	}
}

func (p *pair) checkAccess(t *rapid.T) {
	s := p.server
	list, _ := s.Users("", "", 100)
	sameRecords(t, list, byName(p.plain.users), s.User, (*wire.User).GetId)
	roles, _ := s.Roles("", 100)
	sameRecords(t, roles, byName(p.plain.roles), s.Role, (*wire.AccessRole).GetId)
	bindings, _ := s.Bindings("", 100)
	sameRecords(t, bindings, byName(p.plain.bindings), s.Binding, (*wire.Binding).GetId)
	sessions, _ := s.Sessions("", 100)
	sameRecords(t, sessions, byName(p.plain.sessions), s.Session, (*wire.Session).GetId)
	for _, u := range p.plain.users {
		if got, ok := s.UserByName(u.Name); !ok || !proto.Equal(got, u) {
			t.Fatalf("user %q by name is %v", u.Name, got)
		}
		if got, ok := s.UserBySubject(u.Issuer, u.Subject); ok != (u.Subject != "") || ok && !proto.Equal(got, u) {
			t.Fatalf("user %q by subject is %v", u.Name, got)
		}
	}
	for id := range p.plain.keys {
		if got := s.LastUsed(id); got != p.plain.uses[id] {
			t.Fatalf("key %s was used at %d, want %d", id, got, p.plain.uses[id])
		}
	}
	checkLog(t, s)
	log, want := s.whole(t), p.plain.log[max(0, len(p.plain.log)-s.limits.audits):]
	if len(log) != len(want) {
		t.Fatalf("the audit log has %d entries, want %d", len(log), len(want))
	}
	for i, e := range log {
		e.Seq, e.Message, e.Previous, e.Hash = 0, "", nil, nil
		if !proto.Equal(e, want[i]) {
			t.Fatalf("the audit log says\n%v, want\n%v", e, want[i])
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
	againstModel(t, func(p *pair) map[string]func(*rapid.T) {
		return map[string]func(*rapid.T){
			"apply": p.apply, "and apply": p.apply, "apply again": p.apply, "apply more": p.apply, "apply still more": p.apply, "try": p.try,
			"configure": p.configure, "follow": p.follow, "restart": p.restart,
		}
	})
}

func TestCanariesAgainstModel(t *testing.T) {
	againstModel(t, func(p *pair) map[string]func(*rapid.T) {
		return map[string]func(*rapid.T){"try": p.try, "and try": p.try, "try again": p.try, "try more": p.try, "try still more": p.try, "follow": p.follow, "restart": p.restart}
	})
}

func againstModel(t *testing.T, actions func(*pair) map[string]func(*rapid.T)) {
	rapid.Check(t, func(t *rapid.T) {
		small := usual
		small.entries, small.audits = 6, 12 // so that followers need snapshots, and the log forgets
		p := &pair{server: start(t, vfs.NewMem(), small), follower: start(t, vfs.NewMem(), small), plain: newPlain()}
		defer func() { p.server.db.Close(); p.follower.db.Close() }()
		p.server.Subscribe(func(c Change) { p.changes = append(p.changes, c) })
		all := actions(p)
		all[""] = p.check
		t.Repeat(all)
	})
}
