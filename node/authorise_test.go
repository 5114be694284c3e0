package node

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/transport"
	"github.com/lotabots/lotabots/cluster/wire"
)

func putNode(id string, roles ...string) *wire.Command {
	return &wire.Command{Body: &wire.Command_PutNode{PutNode: &wire.PutNode{Node: &wire.Node{Id: id, Roles: roles}}}}
}

func TestMayPropose(t *testing.T) {
	key := &wire.Command{Body: &wire.Command_PutKey{PutKey: &wire.PutKey{Key: &wire.APIKey{Id: "x"}}}}
	secret := &wire.Command{Body: &wire.Command_PutSecret{PutSecret: &wire.PutSecret{Secret: &wire.Secret{Name: authoritySecret}}}}
	use := &wire.Command{Body: &wire.Command_UseToken{UseToken: &wire.UseToken{Id: "x"}}}
	place := &wire.Command{Body: &wire.Command_PutPlacement{PutPlacement: &wire.PutPlacement{}}}
	sso := &wire.Command{Body: &wire.Command_PutSecret{PutSecret: &wire.PutSecret{Secret: &wire.Secret{Name: spec.OIDCClientSecret}}}}
	user := &wire.Command{Body: &wire.Command_PutUser{PutUser: &wire.PutUser{User: &wire.User{Id: "u"}}}}
	session := &wire.Command{Body: &wire.Command_PutSession{PutSession: &wire.PutSession{Session: &wire.Session{Id: "s"}}}}
	setting := func(name string) *wire.Command {
		return &wire.Command{Body: &wire.Command_PutSetting{PutSetting: &wire.PutSetting{Name: name, Value: "1"}}}
	}
	as := func(id string, c *wire.Command) *wire.Command {
		return &wire.Command{RequestId: id, Body: c.Body}
	}
	used := func(gateway string) *wire.Command {
		return &wire.Command{Body: &wire.Command_PutUsage{PutUsage: &wire.PutUsage{Gateway: gateway}}}
	}
	worker := transport.Peer{ID: "w1", Roles: []spec.Role{spec.RoleWorker}}
	gateway := transport.Peer{ID: "g1", Roles: []spec.Role{spec.RoleGateway}}
	voter := transport.Peer{ID: "v1", Roles: []spec.Role{spec.RoleVoter}}
	for _, c := range []struct {
		name    string
		peer    transport.Peer
		command *wire.Command
		ok      bool
	}{
		{"a worker's own record", worker, putNode("w1", "worker"), true},
		{"a worker on another's record", worker, putNode("w2", "worker"), false},
		{"a worker making itself a voter", worker, putNode("w1", "worker", "voter"), false},
		{"a worker making itself a gateway", worker, putNode("w1", "gateway"), false},
		{"a worker making itself a key", worker, key, false},
		{"a worker's empty command", worker, &wire.Command{}, false},
		{"a worker under a join's request id", worker, as("join/token/x", putNode("w1", "worker")), false},
		{"a worker under a key's request id", worker, as("key/x/1", putNode("w1", "worker")), false},
		{"a worker under an id of its own", worker, as("0b1c", putNode("w1", "worker")), true},
		{"a gateway's new key", gateway, as("gw/ABC", key), true},
		{"a gateway's new key once", gateway, as("key/x/1", key), true},
		{"a gateway under a join's request id", gateway, as("join/token/x", key), false},
		{"a gateway making itself a voter", gateway, putNode("g1", "gateway", "voter"), false},
		{"a gateway on another's record", gateway, putNode("n1", "voter"), false},
		{"a gateway on the authority", gateway, secret, false},
		{"a gateway on a token's uses", gateway, use, false},
		{"a gateway placing", gateway, place, false},
		{"a gateway's new user", gateway, user, true},
		{"a gateway opening a session", gateway, session, false},
		{"a gateway on single sign-on", gateway, sso, true},
		{"a gateway on a setting", gateway, setting("placement/spread"), true},
		{"a gateway on a setting of the cluster's own", gateway, setting("cluster/recovery-epoch"), false},
		{"a gateway on what it has served", gateway, used("g1"), true},
		{"a gateway on what another has", gateway, used("g2"), false},
		{"a worker's new user", worker, user, false},
		{"a voter opening a session", voter, session, true},
		{"a voter on the authority", voter, secret, true},
		{"a voter for one who joins", voter, as("join/token/x", use), true},
	} {
		if err := mayPropose(c.peer, c.command); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestExpiredOnlyRenew: an expired certificate is good for what renews it.
func TestExpiredOnlyRenew(t *testing.T) {
	h := inTime(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, c := range []struct {
		path    string
		role    spec.Role
		expired bool
		want    int
	}{
		{"/feed", spec.RoleWorker, false, 200},
		{"/feed", spec.RoleWorker, true, 403},
		{"/feed", spec.RoleVoter, true, 403},
		{"/applied", spec.RoleVoter, true, 403},
		{"/join-forward", spec.RoleVoter, true, 403},
		{"/renew", spec.RoleGateway, true, 200},
		{"/propose", spec.RoleGateway, true, 403},
		{"/propose", spec.RoleVoter, true, 200},
		{"/read-index", spec.RoleVoter, true, 200},
	} {
		r := httptest.NewRequest("GET", c.path, nil)
		r = r.WithContext(transport.WithPeer(r.Context(), transport.Peer{ID: "p", Roles: []spec.Role{c.role}, Expired: c.expired}))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s by an expired (%v) %s: %d", c.path, c.expired, c.role, w.Code)
		}
	}
}

// TestOnlyVotersSpeakRaft: Raft takes whoever speaks it for a server, so that a
// worker who did could lead the cluster.
// TestWhatStandsEndsWithTheCertificate, as it would not begin after that.
func TestWhatStandsEndsWithTheCertificate(t *testing.T) {
	h := inTime(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(30 * time.Second):
			t.Errorf("%s goes on", r.URL.Path)
		}
	}))
	until := time.Now().Add(100 * time.Millisecond)
	r := httptest.NewRequest("GET", "/feed", nil)
	h.ServeHTTP(httptest.NewRecorder(), r.WithContext(transport.WithPeer(r.Context(), transport.Peer{ID: "p", Until: until})))
	if time.Now().Before(until) {
		t.Error("it ended too soon")
	}
}

func TestOnlyVotersSpeakRaft(t *testing.T) {
	n1 := found(t, "n1", "north")
	for _, m := range []*testNode{n1.join("w1", "north", "worker"), n1.join("g1", "north", "gateway")} {
		m.ready()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		c, err := m.node.port.Dial(ctx, "raft", n1.node.port.Addr())
		if err == nil { // in TLS 1.3 the refusal comes after the client's handshake
			_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
			if _, err = io.ReadFull(c, make([]byte, 1)); err == nil {
				t.Errorf("%s speaks raft", m.cfg.Node.ID)
			}
			if closed := n1.node.admit(transport.Peer{ID: m.node.id, Roles: roles(m.cfg), Serial: m.node.identity.Leaf().SerialNumber.Text(16)}, "raft"); closed == nil {
				t.Errorf("%s is let in to speak raft", m.cfg.Node.ID)
			}
			_ = c.Close()
		}
		cancel()
	}
}

// TestFollowerRenewsAfterExpiry: a worker whose certificate has expired renews
// it and follows the state again.
func TestFollowerRenewsAfterExpiry(t *testing.T) {
	n1 := found(t, "n1", "north")
	w := n1.join("w1", "north", "worker")
	w.ready()
	_, authority := authorityKey(t, n1)
	request, err := w.node.identity.CSR()
	if err != nil {
		t.Fatal(err)
	}
	short, err := authority.Sign(request, pki.SignRequest{ID: "w1", Roles: []spec.Role{spec.RoleWorker}, TTL: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	w.stop()
	identity, err := pki.OpenIdentity(layout{w.cfg.Node.Data}.identity())
	if err != nil {
		t.Fatal(err)
	}
	if err := identity.Install(short, authority.Cert.Raw); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1200 * time.Millisecond)
	w.start()
	w.ready()
	await(t, 30*time.Second, "the certificate is renewed", func() bool { return w.node.identity.Leaf().NotAfter.After(time.Now().Add(time.Hour)) })
}
