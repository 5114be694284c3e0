package join

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func TestJoining(t *testing.T) {
	w := newWorld(t)
	m := w.newcomer("w1")
	token := w.token(spec.RoleWorker, 2)
	resp, err := w.ask(m, "v1", token, "worker", "gateway")
	if err != nil || resp.Code != "" {
		t.Fatalf("%v %s %s", err, resp.GetCode(), resp.GetMessage())
	}
	if resp.ClusterId != cluster || !bytes.Equal(resp.GossipKey, gossipKey) {
		t.Errorf("got cluster %q and a gossip key of %d bytes", resp.ClusterId, len(resp.GossipKey))
	}
	if err := m.identity.Install(resp.Certificate, resp.Authority); err != nil {
		t.Fatal(err)
	}
	s, err := pki.Verify(m.identity.Leaf(), w.authority.Cert, w.clock())
	if err != nil || s.ID != "w1" || !slices.Equal(s.Roles, []spec.Role{spec.RoleWorker, spec.RoleGateway}) {
		t.Errorf("the certificate says %+v, %v", s, err)
	}
	var ids []string
	for _, other := range resp.Members {
		ids = append(ids, other.Id)
	}
	if !slices.Equal(ids, []string{"v1", "w1"}) || resp.Members[0].ClusterAddr == "" {
		t.Errorf("members: %v", resp.Members)
	}
	n, ok := w.state.Node("w1")
	if !ok || n.CertSerial != s.Serial || n.Region != "north" || n.State != wire.NodeState_NODE_STATE_ACTIVE ||
		!bytes.Equal(n.SealKey, m.identity.SealPublic()) || n.JoinedMs != w.clock().UnixMilli() || n.CertExpiresMs != m.identity.Leaf().NotAfter.UnixMilli() {
		t.Errorf("the record: %v", n)
	}
	w.changeToken(token, func(k *wire.JoinToken) {
		if k.UsesLeft != 1 {
			t.Errorf("%d uses left of 2", k.UsesLeft)
		}
	})
}

// TestBadTokens has one for each way in which a token can be bad.
func TestBadTokens(t *testing.T) {
	w := newWorld(t)
	typo := []byte(w.token(spec.RoleWorker, 1))
	if typo[30]++; typo[30] > 'z' || typo[30] < 'a' {
		typo[30] = 'a'
	}
	unknown, _, err := pki.NewToken(spec.RoleWorker, time.Hour, 1, w.authority.Cert.Raw, w.clock)
	if err != nil {
		t.Fatal(err)
	}
	guessed := w.token(spec.RoleWorker, 1)
	w.changeToken(guessed, func(k *wire.JoinToken) { k.Hash = pki.HashSecret([]byte("another secret")) })
	expired := w.token(spec.RoleWorker, 1)
	w.changeToken(expired, func(k *wire.JoinToken) { k.ExpiresMs = w.clock().UnixMilli() })
	exhausted := w.token(spec.RoleWorker, 1)
	w.changeToken(exhausted, func(k *wire.JoinToken) { k.UsesLeft = 0 })
	revoked := w.token(spec.RoleWorker, 1)
	w.changeToken(revoked, func(k *wire.JoinToken) { k.RevokedMs = 1 })
	foreign, _, err := pki.NewToken(spec.RoleWorker, time.Hour, 1, []byte("another cluster's authority"), w.clock)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, token string
		want        spec.Code
	}{
		{"none", "", spec.CodeTokenInvalid},
		{"a typing error", string(typo), spec.CodeTokenInvalid},
		{"unknown", unknown, spec.CodeTokenInvalid},
		{"a guessed secret", guessed, spec.CodeTokenInvalid},
		{"expired", expired, spec.CodeTokenExpired},
		{"exhausted", exhausted, spec.CodeTokenExhausted},
		{"revoked", revoked, spec.CodeTokenRevoked},
		{"another cluster's", foreign, spec.CodeTokenInvalid},
	} {
		m := w.newcomer("w1")
		resp, err := w.ask(m, "v1", c.token, "worker")
		refused(t, c.name, c.want, resp, err)
		if _, ok := w.state.Node("w1"); ok {
			t.Fatalf("%s: the node has a record", c.name)
		}
	}
}

func TestATokensRoleBoundsTheNodes(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		token spec.Role
		roles []string
		good  bool
	}{
		{spec.RoleVoter, []string{"voter", "worker", "gateway"}, true},
		{spec.RoleWorker, []string{"worker"}, true},
		{spec.RoleWorker, []string{"voter"}, false},
		{spec.RoleWorker, []string{"worker", "voter"}, false},
		{spec.RoleGateway, []string{"gateway"}, true},
		{spec.RoleGateway, []string{"gateway", "worker"}, false},
		{spec.RoleGateway, []string{"voter"}, false},
	} {
		id := spec.NodeID("n-" + string(c.token) + "-" + string(rune('a'+len(c.roles))) + c.roles[0])
		token := w.token(c.token, 1)
		resp, err := w.ask(w.newcomer(id), "v1", token, c.roles...)
		if c.good {
			if err != nil || resp.Code != "" {
				t.Errorf("%s for %v: %v %s", c.token, c.roles, err, resp.GetMessage())
			}
			continue
		}
		refused(t, "a token for "+string(c.token)+" and "+c.roles[len(c.roles)-1], spec.CodeForbidden, resp, err)
		w.changeToken(token, func(k *wire.JoinToken) {
			if k.UsesLeft != 1 {
				t.Errorf("a refusal cost a use")
			}
		})
	}
}

// TestATooOldBuildDoesNotJoin: the token is good for a newer one.
func TestATooOldBuildDoesNotJoin(t *testing.T) {
	w := newWorld(t)
	token := w.token(spec.RoleWorker, 1)
	set := func(needs uint64) {
		w.state.mu.Lock()
		defer w.state.mu.Unlock()
		w.state.needs = needs
	}
	set(2)
	m := w.newcomer("w1")
	resp, err := w.ask(m, "v1", token, "worker")
	refused(t, "a build of level 1 where 2 is needed", spec.CodeFeatureLevel, resp, err)
	set(1)
	if resp, err := w.ask(m, "v1", token, "worker"); err != nil || resp.GetCode() != "" {
		t.Fatalf("the token after the refusal: %v, %v", resp, err)
	}
}

func TestBadRequests(t *testing.T) {
	w := newWorld(t)
	m := w.newcomer("w1")
	csr, err := m.identity.CSR()
	if err != nil {
		t.Fatal(err)
	}
	good := func() *wire.JoinRequest {
		return &wire.JoinRequest{Csr: csr, Node: &wire.Member{Id: "w1", Roles: []string{"worker"}, ClusterAddr: "10.0.0.1:7946", SealKey: m.identity.SealPublic()}}
	}
	if _, err := examine(good()); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*wire.JoinRequest){
		"no node":        func(r *wire.JoinRequest) { r.Node = nil },
		"a bad id":       func(r *wire.JoinRequest) { r.Node.Id = "W1" },
		"no role":        func(r *wire.JoinRequest) { r.Node.Roles = nil },
		"unknown role":   func(r *wire.JoinRequest) { r.Node.Roles = []string{"root"} },
		"role twice":     func(r *wire.JoinRequest) { r.Node.Roles = []string{"worker", "worker"} },
		"no sealing key": func(r *wire.JoinRequest) { r.Node.SealKey = nil },
		"no address":     func(r *wire.JoinRequest) { r.Node.ClusterAddr = "" },
		"no port":        func(r *wire.JoinRequest) { r.Node.ClusterAddr = "10.0.0.1" },
		"a bad address":  func(r *wire.JoinRequest) { r.Node.ApiAddr = "a b:1" },
		"a long region":  func(r *wire.JoinRequest) { r.Node.Region = string(make([]byte, 101)) },
		"no csr":         func(r *wire.JoinRequest) { r.Csr = nil },
		"a bad csr":      func(r *wire.JoinRequest) { r.Csr = []byte("csr") },
	} {
		r := good()
		change(r)
		if _, err := examine(r); spec.CodeOf(err) != spec.CodeInvalidRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOnlyVotersCanOpenTheAuthority looks for the key in all that a node has.
func TestOnlyVotersCanOpenTheAuthority(t *testing.T) {
	w := newWorld(t)
	key := w.authority.MarshalKey()
	holders := map[spec.NodeID]*member{
		"w1": w.join("w1", spec.RoleWorker, "worker"),
		"g1": w.join("g1", spec.RoleGateway, "gateway"),
		"v2": w.join("v2", spec.RoleVoter, "voter", "worker"),
	}
	sealed, _ := w.state.Secret("ca")
	record, err := proto.Marshal(sealed)
	if err != nil || bytes.Contains(record, key) {
		t.Fatalf("the record has the key in clear (%v)", err)
	}
	for id, m := range holders {
		files, err := os.ReadDir(m.dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			raw, err := os.ReadFile(filepath.Join(m.dir, f.Name()))
			if err != nil || bytes.Contains(raw, key) {
				t.Errorf("node %s has the key in clear in %s (%v)", id, f.Name(), err)
			}
		}
		opened := false
		for _, as := range []spec.NodeID{id, "v1", "v2"} {
			got, err := m.identity.OpenSecret(sealed, as)
			opened = opened || err == nil && bytes.Equal(got, key)
		}
		if voter := id == "v2"; opened != voter {
			t.Errorf("node %s opens the key: %v", id, opened)
		}
	}
	if pki.SealedTo(sealed, "w1") || pki.SealedTo(sealed, "g1") || len(sealed.Wrapped) != 2 {
		t.Errorf("sealed to %d nodes, want 2", len(sealed.Wrapped))
	}
}

// TestANewVoterSigns takes a fourth node in with the founder gone.
func TestANewVoterSigns(t *testing.T) {
	w := newWorld(t)
	v2 := w.join("v2", spec.RoleVoter, "voter")
	if err := w.members["v1"].port.Close(); err != nil {
		t.Fatal(err)
	}
	resp, err := w.ask(w.newcomer("w1"), v2.id, w.token(spec.RoleWorker, 1), "worker")
	if err != nil || resp.Code != "" {
		t.Errorf("%v %s %s", err, resp.GetCode(), resp.GetMessage())
	}
}

// TestALostAnswerCostsNoSecondUse loses the answer at each step of joining.
func TestALostAnswerCostsNoSecondUse(t *testing.T) {
	lost := &spec.Error{Code: spec.CodeOutcomeUnknown, Message: "Lost."}
	for name, step := range map[string]func(*wire.Command) bool{
		"token":  func(c *wire.Command) bool { return c.GetUseToken() != nil },
		"record": func(c *wire.Command) bool { return c.GetPutNode() != nil },
		"secret": func(c *wire.Command) bool { return c.GetPutSecret() != nil },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			times := 1
			w.state.after = func(c *wire.Command) error {
				if step(c) && times > 0 {
					times--
					return lost
				}
				return nil
			}
			m, token := w.newcomer("v2"), w.token(spec.RoleVoter, 1)
			for range 2 { // the second has lost the whole answer
				resp, err := w.ask(m, "v1", token, "voter", "gateway")
				if err != nil || resp.Code != "" {
					t.Fatalf("%v %s %s", err, resp.GetCode(), resp.GetMessage())
				}
				if err := m.identity.Install(resp.Certificate, resp.Authority); err != nil {
					t.Fatal(err)
				}
			}
			if times != 0 {
				t.Fatal("no answer was lost")
			}
			sealed, _ := w.state.Secret("ca")
			if _, err := m.identity.OpenSecret(sealed, "v2"); err != nil {
				t.Error(err)
			}
			if n, _ := w.state.Node("v2"); n.CertSerial != m.identity.Leaf().SerialNumber.Text(16) {
				t.Error("the record has not the last certificate")
			}
			// Another machine, and more roles, do cost a use.
			resp, err := w.ask(w.newcomer("v3"), "v1", token, "voter")
			refused(t, "a second node", spec.CodeTokenExhausted, resp, err)
			resp, err = w.ask(m, "v1", token, "voter", "worker", "gateway")
			refused(t, "other roles", spec.CodeTokenExhausted, resp, err)
		})
	}
}

func TestAnIDInForceIsNotGivenAway(t *testing.T) {
	w := newWorld(t)
	first := w.join("w1", spec.RoleWorker, "worker")
	token := w.token(spec.RoleVoter, 5)
	resp, err := w.ask(w.newcomer("w1"), "v1", token, "worker")
	refused(t, "another machine", spec.CodeAlreadyExists, resp, err)
	resp, err = w.ask(w.newcomer("v1"), "v1", token, "voter")
	refused(t, "the founder's id", spec.CodeAlreadyExists, resp, err)

	// Removed, the id is free again, for whoever has a token; and the clock may be behind.
	w.state.setState("w1", wire.NodeState_NODE_STATE_REMOVED)
	w.pass(-time.Minute)
	old, _ := w.state.Node("w1")
	second := w.newcomer("w1")
	resp, err = w.ask(second, "v1", token, "worker")
	if err != nil || resp.Code != "" {
		t.Fatalf("%v %s %s", err, resp.GetCode(), resp.GetMessage())
	}
	n, _ := w.state.Node("w1")
	if n.State != wire.NodeState_NODE_STATE_ACTIVE || n.JoinedMs <= old.JoinedMs || pki.MarkOf(n.CertSerial) != second.identity.Mark() {
		t.Errorf("the record: %v", n)
	}
	resp, err = w.ask(first, "v1", token, "worker")
	refused(t, "the machine that had it", spec.CodeAlreadyExists, resp, err)
}

// TestARemovedNodeNeedsAToken even with the token that it has used.
func TestARemovedNodeNeedsAToken(t *testing.T) {
	w := newWorld(t)
	m, token := w.newcomer("w1"), w.token(spec.RoleWorker, 1)
	if resp, err := w.ask(m, "v1", token, "worker"); err != nil || resp.Code != "" {
		t.Fatalf("%v %s", err, resp.GetMessage())
	}
	w.state.setState("w1", wire.NodeState_NODE_STATE_REMOVED)
	resp, err := w.ask(m, "v1", token, "worker")
	refused(t, "with the used token", spec.CodeTokenExhausted, resp, err)
	if n, _ := w.state.Node("w1"); n.State != wire.NodeState_NODE_STATE_REMOVED {
		t.Error("it is back")
	}
	if resp, err := w.ask(m, "v1", w.token(spec.RoleWorker, 1), "worker"); err != nil || resp.Code != "" {
		t.Errorf("with a new token: %v %s", err, resp.GetMessage())
	}
}

// TestOneOfManyGetsTheID has machines ask for one id at the same time, of two voters.
func TestOneOfManyGetsTheID(t *testing.T) {
	w := newWorld(t)
	w.join("v2", spec.RoleVoter, "voter")
	token := w.token(spec.RoleWorker, 100)
	for round := range 4 {
		id := spec.NodeID("w" + string(rune('a'+round)))
		var all sync.WaitGroup
		var mu sync.Mutex
		var winners []*member
		for i := range 6 {
			m := w.newcomer(id)
			all.Go(func() {
				resp, err := w.ask(m, []spec.NodeID{"v1", "v2"}[i%2], token, "worker")
				mu.Lock()
				defer mu.Unlock()
				if err == nil && resp.Code == "" {
					winners = append(winners, m)
				} else if code := spec.Code(resp.GetCode()); err != nil || code != spec.CodeAlreadyExists && code != spec.CodeRateLimited {
					t.Errorf("a loser is told %v %s", err, code)
				}
			})
		}
		all.Wait()
		n, _ := w.state.Node(string(id))
		if len(winners) != 1 || pki.MarkOf(n.GetCertSerial()) != winners[0].identity.Mark() {
			t.Fatalf("%d machines are node %s", len(winners), id)
		}
	}
}

// TestAReplacedVoterIsSealedToAnew has the machine of a voter replaced.
func TestAReplacedVoterIsSealedToAnew(t *testing.T) {
	w := newWorld(t)
	old := w.join("v2", spec.RoleVoter, "voter")
	w.join("v3", spec.RoleVoter, "voter")
	w.state.setState("v2", wire.NodeState_NODE_STATE_REMOVED)
	w.state.setState("v3", wire.NodeState_NODE_STATE_REMOVED)
	m := w.newcomer("v2")
	if resp, err := w.ask(m, "v1", w.token(spec.RoleVoter, 1), "voter"); err != nil || resp.Code != "" {
		t.Fatalf("%v %s", err, resp.GetMessage())
	}
	sealed, _ := w.state.Secret("ca")
	if _, err := m.identity.OpenSecret(sealed, "v2"); err != nil {
		t.Errorf("the new machine: %v", err)
	}
	if _, err := old.identity.OpenSecret(sealed, "v2"); err == nil {
		t.Error("the old machine opens the key still")
	}
	if pki.SealedTo(sealed, "v3") {
		t.Error("a removed voter has its wrap still")
	}
}

// TestSealingBesideAnother has the secret changed in between, once.
func TestSealingBesideAnother(t *testing.T) {
	w := newWorld(t)
	times := 1
	w.state.before = func(c *wire.Command) error {
		if c.GetPutSecret() != nil && times > 0 {
			times--
			w.state.mu.Lock()
			defer w.state.mu.Unlock()
			next := proto.CloneOf(w.state.secrets["ca"])
			next.Version++
			w.state.secrets["ca"] = next
		}
		return nil
	}
	m := w.join("v2", spec.RoleVoter, "voter")
	sealed, _ := w.state.Secret("ca")
	if _, err := m.identity.OpenSecret(sealed, "v2"); err != nil || times != 0 {
		t.Errorf("%v, %d", err, times)
	}
}

// TestALeaderMayBeLongInComing has the first proposals fail.
func TestALeaderMayBeLongInComing(t *testing.T) {
	w := newWorld(t)
	times := 2
	w.state.before = func(*wire.Command) error {
		if times--; times >= 0 {
			return errors.New("no leader yet")
		}
		return nil
	}
	if resp, err := w.ask(w.newcomer("w1"), "v1", w.token(spec.RoleWorker, 1), "worker"); err != nil || resp.Code != "" {
		t.Errorf("%v %s %s", err, resp.GetCode(), resp.GetMessage())
	}
}
