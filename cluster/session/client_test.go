package session

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/transport"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A fabric joins nodes by their real cluster ports.
type fabric struct {
	w         *world
	authority *pki.Authority
	mu        sync.Mutex
	addresses map[spec.NodeID]string
}

func newFabric(w *world) *fabric {
	return &fabric{w: w, authority: must(pki.NewAuthority(cluster, time.Now)), addresses: map[spec.NodeID]string{}}
}

// port opens that of a node, which serves h.
func (f *fabric) port(id spec.NodeID, role spec.Role, h http.Handler) *transport.Port {
	f.w.t.Helper()
	i := f.w.ids[id]
	if i == nil {
		i = must(pki.CreateIdentity(f.w.t.TempDir()))
	}
	der := must(f.authority.Sign(must(i.CSR()), pki.SignRequest{ID: id, Roles: []spec.Role{role}, TTL: time.Hour}))
	if err := i.Install(der, f.authority.Cert.Raw); err != nil {
		f.w.t.Fatal(err)
	}
	p, err := transport.Listen(transport.Config{Listen: "127.0.0.1:0", Identity: i, Log: slog.New(slog.DiscardHandler), Resolve: func(id spec.NodeID) (string, bool) {
		f.mu.Lock()
		defer f.mu.Unlock()
		a, ok := f.addresses[id]
		return a, ok
	}})
	if err != nil {
		f.w.t.Fatal(err)
	}
	f.w.t.Cleanup(func() { _ = p.Close() })
	f.mu.Lock()
	f.addresses[id] = p.Addr()
	f.mu.Unlock()
	if h != nil {
		p.Handle(Protocol, h)
	}
	return p
}

// client is a gateway's, which asks the voters in that order.
func (f *fabric) client(voters ...spec.NodeID) *Client {
	return NewClient(ClientConfig{Client: f.port("gw", spec.RoleGateway, nil).Client, Voters: func() []spec.NodeID { return voters }, Log: slog.New(slog.NewTextHandler(f.w, nil))})
}

// TestClient has everything done by a voter over its port.
func TestClient(t *testing.T) {
	w := newWorld(t, "n1")
	s := cheaply(w.server("n1"))
	p := newIDP(w)
	f := newFabric(w)
	f.port("n1", spec.RoleVoter, s.Handler())
	c := f.client("n1")
	hash, err := c.HashPassword(t.Context(), "ada", secretWord)
	if err != nil {
		t.Fatal(err)
	}
	w.local("grace", hash)
	g, err := c.Login(t.Context(), spec.Login{Name: "grace", Password: secretWord})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Refresh(t.Context(), spec.Refresh{Token: g.RefreshToken}); err != nil {
		t.Fatal(err)
	}
	b, err := c.BeginSSO(t.Context(), spec.SSOBegin{Callback: callback})
	if err != nil || b.Flow == "" || !strings.HasPrefix(b.URL, p.URL) {
		t.Fatalf("begun %+v, %v", b, err)
	}
	done, err := c.FinishSSO(t.Context(), p.begun(t, s, spec.SSOBegin{}))
	if err != nil || done.Granted == nil {
		t.Fatalf("finished %+v, %v", done, err)
	}
	_, err = c.Exchange(t.Context(), spec.Exchange{Code: "x"})
	wantCode(t, err, spec.CodeSSOFailed)
	_, err = c.Login(t.Context(), spec.Login{Name: "grace", Password: "no"})
	wantCode(t, err, spec.CodeLoginFailed)
	_, err = c.HashPassword(t.Context(), "ada", "short")
	wantCode(t, err, spec.CodeInvalidRequest)
	if !strings.Contains(err.Error(), "fewer than 12") {
		t.Errorf("the reason is lost: %v", err)
	}
}

// counted counts the requests that reach a voter.
func counted(n *atomic.Int32, h http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { n.Add(1); h.ServeHTTP(rw, r) })
}

// TestClientAsksTheNext where a voter is gone, of an older build, or cannot.
func TestClientAsksTheNext(t *testing.T) {
	w := newWorld(t, "n1", "n2", "n3")
	s := cheaply(w.server("n1"))
	w.local("ada", must(s.HashPassword(t.Context(), "", secretWord)))
	behind := w.config("n2")
	behind.Barrier = func(context.Context) error { return spec.Errorf(spec.CodeNoLeader, "nobody leads") }
	f := newFabric(w)
	f.port("n1", spec.RoleVoter, s.Handler())
	f.port("n2", spec.RoleVoter, NewServer(behind).Handler())
	f.port("n3", spec.RoleVoter, http.NotFoundHandler())
	gone := f.port("n4", spec.RoleVoter, http.NotFoundHandler())
	_ = gone.Close()
	c := f.client("n4", "n3", "n2", "n1")
	g, err := c.Login(t.Context(), spec.Login{Name: "ada", Password: secretWord})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Refresh(t.Context(), spec.Refresh{Token: g.RefreshToken}); err != nil {
		t.Fatal(err)
	}
	if len(w.state.sessions) != 1 {
		t.Errorf("%d sessions", len(w.state.sessions))
	}
	c.cfg.Voters = func() []spec.NodeID { return []spec.NodeID{"n4", "n3", "n2"} }
	_, err = c.Login(t.Context(), spec.Login{Name: "ada", Password: secretWord})
	wantCode(t, err, spec.CodeNoLeader)
	c.cfg.Voters = func() []spec.NodeID { return nil }
	_, err = c.Login(t.Context(), spec.Login{Name: "ada", Password: secretWord})
	wantCode(t, err, spec.CodeNoLeader)
}

// TestNoLoginIsRepeatedBlindly: one that may have been done is not done again, and
// a refresh is.
func TestNoLoginIsRepeatedBlindly(t *testing.T) {
	w := newWorld(t, "n1", "n2")
	s := cheaply(w.server("n1"))
	w.local("ada", must(s.HashPassword(t.Context(), "", secretWord)))
	g, err := s.Login(t.Context(), spec.Login{Name: "ada", Password: secretWord})
	if err != nil {
		t.Fatal(err)
	}
	f := newFabric(w)
	var first, second atomic.Int32
	f.port("n1", spec.RoleVoter, counted(&first, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		s.Handler().ServeHTTP(httpDiscard{}, r) // done, and the answer is lost
		panic(http.ErrAbortHandler)
	})))
	f.port("n2", spec.RoleVoter, counted(&second, cheaply(NewServer(w.config("n2"))).Handler()))
	c := f.client("n1", "n2")
	_, err = c.Login(t.Context(), spec.Login{Name: "ada", Password: secretWord})
	wantCode(t, err, spec.CodeOutcomeUnknown)
	if first.Load() != 1 || second.Load() != 0 {
		t.Errorf("a login was asked for %d and %d times", first.Load(), second.Load())
	}
	next, err := c.Refresh(t.Context(), spec.Refresh{Token: g.RefreshToken})
	if err != nil {
		t.Fatal(err)
	}
	if second.Load() != 1 {
		t.Errorf("a refresh was asked for %d times of the second", second.Load())
	}
	if record, _ := w.state.Session(g.Session); record.Generation != 2 || record.RevokedMs != 0 {
		t.Errorf("the session is %v", record)
	}
	refreshed(t, s, next.RefreshToken)
}

// TestAProvidersCodeIsSentOnce: a log-in at the provider that may have been done, or
// whose code has been spent, is not tried again, by this node's own server or another.
func TestAProvidersCodeIsSentOnce(t *testing.T) {
	w := newWorld(t, "n1", "n2")
	s := w.server("n1")
	p := newIDP(w)
	f := newFabric(w)
	var first, second atomic.Int32
	lost := atomic.Bool{}
	f.port("n1", spec.RoleVoter, counted(&first, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if lost.Load() {
			s.Handler().ServeHTTP(httpDiscard{}, r) // done, and the answer is lost
			panic(http.ErrAbortHandler)
		}
		s.Handler().ServeHTTP(rw, r)
	})))
	f.port("n2", spec.RoleVoter, counted(&second, NewServer(w.config("n2")).Handler()))
	c := f.client("n1", "n2")
	finish := func(what string, want spec.Code, asked int32) {
		t.Helper()
		begun := p.begun(t, s, spec.SSOBegin{})
		var before int
		p.set(func() { before = p.exchanges })
		_, err := c.FinishSSO(t.Context(), begun)
		wantCode(t, err, want)
		p.set(func() {
			if sent := p.exchanges - before; sent != 1 || first.Swap(0) != asked || second.Load() != 0 {
				t.Errorf("%s: the code was sent %d times, and the second voter asked %d times", what, sent, second.Load())
			}
		})
	}
	lost.Store(true)
	finish("the answer is lost", spec.CodeOutcomeUnknown, 1)
	lost.Store(false)
	for _, code := range []spec.Code{spec.CodeNoLeader, spec.CodeOutcomeUnknown, spec.CodeStaleState} {
		w.state.set(func() { w.state.before = func(*wire.Command) error { return spec.Errorf(code, "not now") } })
		c.cfg.Local = nil
		finish("the other voter: "+string(code), code, 1)
		c.cfg.Local = s
		finish("this node: "+string(code), code, 0)
	}
}

// httpDiscard is a lost answer.
type httpDiscard struct{}

func (httpDiscard) Header() http.Header         { return http.Header{} }
func (httpDiscard) Write(p []byte) (int, error) { return len(p), nil }
func (httpDiscard) WriteHeader(int)             {}

// TestOwnServerFirst: a gateway that is a voter asks itself, then the preferred one.
func TestOwnServerFirst(t *testing.T) {
	w := newWorld(t, "n1", "n2", "n3")
	s := w.server("n1")
	g := w.opened(s)
	own := w.config("n3")
	able := true
	own.Barrier = func(context.Context) error {
		if able {
			return nil
		}
		return spec.Errorf(spec.CodeStaleState, "it is behind")
	}
	f := newFabric(w)
	var first, second atomic.Int32
	f.port("n1", spec.RoleVoter, counted(&first, s.Handler()))
	f.port("n2", spec.RoleVoter, counted(&second, NewServer(w.config("n2")).Handler()))
	c := f.client("n1", "n2")
	c.cfg.Local = NewServer(own)
	c.cfg.Prefer = func() (spec.NodeID, bool) { return "n2", true }
	if got := c.order(); !slices.Equal(got, []spec.NodeID{"n2", "n1"}) {
		t.Errorf("the order is %v", got)
	}
	g, err := c.Refresh(t.Context(), spec.Refresh{Token: g.RefreshToken})
	if err != nil || first.Load()+second.Load() != 0 {
		t.Fatalf("%v, after %d and %d requests", err, first.Load(), second.Load())
	}
	able = false
	if _, err = c.Refresh(t.Context(), spec.Refresh{Token: g.RefreshToken}); err != nil || first.Load() != 0 || second.Load() != 1 {
		t.Fatalf("%v, after %d and %d requests", err, first.Load(), second.Load())
	}
}

func TestHandlerRefusesWhatItCannotRead(t *testing.T) {
	w := newWorld(t, "n1")
	f := newFabric(w)
	f.port("n1", spec.RoleVoter, w.server("n1").Handler())
	c := f.client("n1").cfg.Client(Protocol)
	for body, want := range map[string]int{"": 400, "{": 400, `{"name":7}`: 400, `{"name":"` + strings.Repeat("x", maxBody) + `"}`: 400, `[]`: 400, `{"name":"x"}`: 401} {
		resp, err := c.Post("http://n1/session/login", jsonType, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want || resp.Header.Get("Content-Type") != jsonType {
			t.Errorf("%.20q: %d", body, resp.StatusCode)
		}
	}
}
