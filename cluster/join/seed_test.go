package join

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/transport"
	"github.com/lotabots/lotabots/cluster/wire"
)

// TestAWorkerNeverSeesTheToken joins by a seed that is no voter.
func TestAWorkerNeverSeesTheToken(t *testing.T) {
	w := newWorld(t)
	worker := w.join("w1", spec.RoleWorker, "worker")
	resp, err := w.ask(w.newcomer("v2"), "w1", w.token(spec.RoleVoter, 1), "voter")
	if err != nil || resp.Code != "" {
		t.Fatalf("%v %s %s", err, resp.GetCode(), resp.GetMessage())
	}
	worker.mu.Lock()
	if !slices.Equal(worker.asked, []string{"GET /join-voters"}) {
		t.Errorf("the worker was asked %v", worker.asked)
	}
	worker.mu.Unlock()
	resp, err = w.ask(w.newcomer("v3"), "w1", w.foreignID(), "voter")
	refused(t, "a token that the worker does not know", spec.CodeTokenInvalid, resp, err)
}

// foreignID is a token of this cluster's authority that the state does not know.
func (w *world) foreignID() string {
	text := w.token(spec.RoleVoter, 1)
	w.changeToken(text, func(k *wire.JoinToken) { delete(w.state.tokens, k.Id) })
	return text
}

// TestASpareVoterPassesOn has a voter that is not in Raft's configuration.
func TestASpareVoterPassesOn(t *testing.T) {
	w := newWorld(t)
	spare := w.join("v2", spec.RoleVoter, "voter")
	spare.barrier = errors.New("this node is no Raft server")
	token := w.token(spec.RoleWorker, 1)
	resp, err := w.ask(w.newcomer("w1"), "v2", token, "worker")
	if err != nil || resp.Code != "" {
		t.Fatalf("%v %s %s", err, resp.GetCode(), resp.GetMessage())
	}
	v1 := w.members["v1"]
	v1.mu.Lock()
	if !slices.Contains(v1.asked, "POST /join-forward") {
		t.Errorf("the other voter was asked %v", v1.asked)
	}
	v1.mu.Unlock()
	resp, err = w.ask(w.newcomer("w2"), "v2", token, "worker")
	refused(t, "a refusal that was passed on", spec.CodeTokenExhausted, resp, err)
}

func TestASeedThatIsNone(t *testing.T) {
	w := newWorld(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.addresses["gone"] = l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if resp, err := w.ask(w.newcomer("w1"), "gone", w.token(spec.RoleWorker, 1), "worker"); err == nil {
		t.Errorf("nobody answered %v", resp)
	}
	site := httptest.NewUnstartedServer(http.NotFoundHandler())
	site.Config.ErrorLog = log.New(io.Discard, "", 0)
	site.StartTLS()
	defer site.Close()
	w.addresses["site"] = site.Listener.Addr().String()
	if resp, err := w.ask(w.newcomer("w1"), "site", w.token(spec.RoleWorker, 1), "worker"); err == nil {
		t.Errorf("a web site answered %v", resp)
	}
}

// TestAnImpostorGetsNoToken is a cluster of another authority at the seed.
func TestAnImpostorGetsNoToken(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	w.addresses["v1"] = other.addresses["v1"]
	resp, err := w.ask(w.newcomer("w1"), "v1", w.token(spec.RoleWorker, 1), "worker")
	refused(t, "an impostor", spec.CodeTokenInvalid, resp, err)
	if asked := other.members["v1"].asked; len(asked) != 0 {
		t.Errorf("the impostor was asked %v", asked)
	}
}

// TestAnExpiredSeedIsToldByTheClock and gets no token.
func TestAnExpiredSeedIsToldByTheClock(t *testing.T) {
	w := newWorld(t)
	w.pass(2 * time.Hour)
	if resp, err := w.ask(w.newcomer("w1"), "v1", w.token(spec.RoleWorker, 1), "worker"); err == nil {
		t.Errorf("got %v", resp)
	}
	if asked := w.members["v1"].asked; len(asked) != 0 {
		t.Errorf("it was asked %v", asked)
	}
}

// TestThePathsOfMembersAreClosedToStrangers calls the handler as each kind of peer.
func TestThePathsOfMembersAreClosedToStrangers(t *testing.T) {
	w := newWorld(t)
	h := NewServer(w.config(w.members["v1"])).Handler()
	csr, err := w.members["v1"].identity.CSR()
	if err != nil {
		t.Fatal(err)
	}
	body, err := proto.Marshal(&wire.JoinRequest{Csr: csr})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		peer *transport.Peer
		want spec.Code
	}{
		{"/renew", nil, spec.CodeForbidden},
		{"/join-forward", nil, spec.CodeForbidden},
		{"/join-forward", &transport.Peer{ID: "w1", Roles: []spec.Role{spec.RoleWorker, spec.RoleGateway}}, spec.CodeForbidden},
		{"/join-forward", &transport.Peer{ID: "v2", Roles: []spec.Role{spec.RoleVoter}}, spec.CodeInvalidRequest},
		{"/renew", &transport.Peer{ID: "unknown", Roles: []spec.Role{spec.RoleVoter}}, spec.CodeNodeRemoved},
	} {
		r := httptest.NewRequest(http.MethodPost, c.path, bytes.NewReader(body))
		if c.peer != nil {
			r = r.WithContext(transport.WithPeer(r.Context(), *c.peer))
		}
		if got := served(t, h, r); spec.Code(got.Code) != c.want {
			t.Errorf("%s as %v: %s %s", c.path, c.peer, got.Code, got.Message)
		}
	}
}

func served(t *testing.T, h http.Handler, r *http.Request) *wire.JoinResponse {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	got := &wire.JoinResponse{}
	if err := proto.Unmarshal(rec.Body.Bytes(), got); err != nil {
		t.Fatalf("%s answered %d %q: %v", r.URL.Path, rec.Code, rec.Body, err)
	}
	if (rec.Code == http.StatusOK) != (got.Code == "") {
		t.Errorf("%s: status %d with code %q", r.URL.Path, rec.Code, got.Code)
	}
	return got
}

// TestHostileBodies never reach Raft.
func TestHostileBodies(t *testing.T) {
	w := newWorld(t)
	w.state.before = func(c *wire.Command) error { t.Errorf("proposed %v", c); return nil }
	h := NewServer(w.config(w.members["v1"])).Handler()
	for name, body := range map[string][]byte{
		"empty": nil, "noise": []byte("\xff\xff\xff noise"), "large": make([]byte, maxBody+1), "zeros": make([]byte, 1000),
	} {
		if got := served(t, h, httptest.NewRequest(http.MethodPost, "/join", bytes.NewReader(body))); spec.Code(got.Code) != spec.CodeInvalidRequest {
			t.Errorf("%s: %s %s", name, got.Code, got.Message)
		}
	}
}

// TestAFloodOfRequestsIsBounded asks more often than is allowed.
func TestAFloodOfRequestsIsBounded(t *testing.T) {
	w := newWorld(t)
	h := NewServer(w.config(w.members["v1"])).Handler()
	limited := 0
	for range 5 * joinsBurst {
		got := served(t, h, httptest.NewRequest(http.MethodPost, "/join", nil))
		if spec.Code(got.Code) == spec.CodeRateLimited {
			limited++
		}
	}
	if limited == 0 {
		t.Error("nothing was refused")
	}
}

func TestRate(t *testing.T) {
	now := time.Unix(1000, 0)
	r := newRate(10, 3)
	count := func() (n int) {
		for r.take(now) {
			n++
		}
		return n
	}
	if n := count(); n != 3 {
		t.Errorf("%d at once, want 3", n)
	}
	now = now.Add(200 * time.Millisecond)
	if n := count(); n != 2 {
		t.Errorf("%d after 200 ms, want 2", n)
	}
	now = now.Add(-time.Hour) // the clock was set back
	if n := count(); n != 0 {
		t.Errorf("%d after the clock was set back", n)
	}
	now = now.Add(time.Hour)
	if n := count(); n != 3 {
		t.Errorf("%d after a long time, want 3", n)
	}
}

// FuzzJoinRequest gives the body to what reads it, up to the token.
func FuzzJoinRequest(f *testing.F) {
	full, err := proto.Marshal(&wire.JoinRequest{
		TokenId: "0011223344", TokenSecret: make([]byte, 20), Csr: []byte{0x30, 0x03, 0x02, 0x01, 0x00},
		Node: &wire.Member{Id: "w1", Roles: []string{"worker"}, ClusterAddr: "10.0.0.1:7946", ApiAddr: "[::1]:8080", SealKey: make([]byte, 32), Region: "north"},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(full)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/join", bytes.NewReader(body))
		req, err := readRequest(httptest.NewRecorder(), r)
		if err == nil {
			var a *applicant
			if a, err = examine(req); err == nil && (a.id.Valid() != nil || len(a.roles) == 0 || len(a.key) != 32) {
				t.Errorf("%v was found good", req)
			}
		}
		if err != nil && spec.CodeOf(err) != spec.CodeInvalidRequest {
			t.Errorf("%v has another code", err)
		}
	})
}
