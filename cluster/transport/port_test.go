package transport

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A world is a cluster of ports on loopback that know each other's addresses.
type world struct {
	t         testing.TB
	authority *pki.Authority
	now       atomic.Pointer[time.Time]
	log       *slog.Logger
	mu        sync.Mutex
	addresses map[spec.NodeID]string
	removed   map[spec.NodeID]bool
	admit     func(Peer, string) error
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, addresses: map[spec.NodeID]string{}, removed: map[spec.NodeID]bool{}, log: slog.New(slog.DiscardHandler)}
	now := time.Now()
	w.now.Store(&now)
	var err error
	if w.authority, err = pki.NewAuthority("lb-test", w.clock); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) clock() time.Time { return *w.now.Load() }

func (w *world) resolve(id spec.NodeID) (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, ok := w.addresses[id]
	return a, ok
}

func (w *world) move(id spec.NodeID, address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.addresses[id] = address
}

func (w *world) remove(id spec.NodeID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.removed[id] = true
}

func (w *world) admits(p Peer, proto string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.removed[p.ID] {
		return fmt.Errorf("it has been removed")
	}
	if w.admit != nil {
		return w.admit(p, proto)
	}
	return nil
}

func identity(t testing.TB, a *pki.Authority, id spec.NodeID, roles ...spec.Role) *pki.Identity {
	t.Helper()
	if len(roles) == 0 {
		roles = []spec.Role{spec.RoleVoter}
	}
	i, err := pki.CreateIdentity(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	csr, err := i.CSR()
	if err != nil {
		t.Fatal(err)
	}
	der, err := a.Sign(csr, pki.SignRequest{ID: id, Roles: roles, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Install(der, a.Cert.Raw); err != nil {
		t.Fatal(err)
	}
	return i
}

func (w *world) port(id spec.NodeID, roles ...spec.Role) *Port {
	w.t.Helper()
	return w.portWith(id, defaultLimits, "127.0.0.1:0", identity(w.t, w.authority, id, roles...))
}

func (w *world) portWith(id spec.NodeID, l limits, listenOn string, i *pki.Identity) *Port {
	w.t.Helper()
	p, err := listen(Config{Listen: listenOn, Identity: i, Resolve: w.resolve, Admit: w.admits, Clock: w.clock, Log: w.log}, l)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := p.Close(); err != nil {
			w.t.Errorf("closing the port of %s: %v", id, err)
		}
	})
	w.move(id, p.Addr())
	return p
}

// within fails the test if cond does not come true in time.
func within(t *testing.T, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

func say(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := PeerOf(r)
		_, _ = io.WriteString(w, text+" to "+string(p.ID))
	})
}

func get(p *Port, proto string, id spec.NodeID, path string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+string(id)+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := p.Client(proto).Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		return string(raw), fmt.Errorf("status %d: %s", resp.StatusCode, raw)
	}
	return string(raw), err
}

// TestProtocolsAreToldApart has each protocol answer for itself on one port.
func TestProtocolsAreToldApart(t *testing.T) {
	w := newWorld(t)
	a, b := w.port("a"), w.port("b")
	a.Handle("state", say("state"))
	a.Handle("blob", say("blob"))
	raft := a.Listener("raft")
	for _, proto := range []string{"state", "blob"} {
		if got, err := get(b, proto, "a", "/"); err != nil || got != proto+" to b" {
			t.Errorf("%s answered %q, %v", proto, got, err)
		}
	}
	if _, err := get(b, "infer", "a", "/"); err == nil || !strings.Contains(err.Error(), "no application protocol") {
		t.Errorf("a protocol that nobody serves: %v", err)
	}
	a.Handle("infer", say("infer"))
	if got, err := get(b, "infer", "a", "/"); err != nil || got != "infer to b" {
		t.Errorf("a protocol served later answered %q, %v", got, err)
	}

	out, err := b.Dial(t.Context(), "raft", a.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in, err := raft.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if p, ok := PeerOfConn(in); !ok || p.ID != "b" {
		t.Errorf("the server sees %v, %v", p, ok)
	}
	if p, ok := PeerOfConn(out); !ok || p.ID != "a" {
		t.Errorf("the client sees %v, %v", p, ok)
	}
	if _, err := io.WriteString(out, "ping"); err != nil {
		t.Fatal(err)
	}
	four := make([]byte, 4)
	if _, err := io.ReadFull(in, four); err != nil || string(four) != "ping" {
		t.Errorf("raw bytes came as %q, %v", four, err)
	}
}

// TestLargeBodiesBothWays goes through flow control.
func TestLargeBodiesBothWays(t *testing.T) {
	w := newWorld(t)
	a, b := w.port("a"), w.port("b")
	a.Handle("blob", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	resp, err := b.Client("blob").Post("http://a/", "", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	back, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Equal(back, body) {
		t.Errorf("%d bytes came back of %d, %v", len(back), len(body), err)
	}
}

func TestPacketsShareTheNumber(t *testing.T) {
	w := newWorld(t)
	a, b := w.port("a"), w.port("b")
	to, err := net.ResolveUDPAddr("udp", a.Addr())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Packets().WriteTo([]byte("hello"), to); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 16)
	_ = a.Packets().SetReadDeadline(time.Now().Add(30 * time.Second))
	n, from, err := a.Packets().ReadFrom(buf)
	if err != nil || string(buf[:n]) != "hello" || from.String() != b.Addr() {
		t.Errorf("got %q from %v, %v", buf[:n], from, err)
	}
}

func TestAdvertisedAddress(t *testing.T) {
	w := newWorld(t)
	i := identity(t, w.authority, "a")
	for _, c := range []struct{ listen, advertise, want string }{
		{"127.0.0.1:0", "gpu-1.example:0", "gpu-1.example:"},
		{"127.0.0.1:0", "10.9.8.7:7946", "10.9.8.7:7946"},
		{"127.0.0.1:0", "", "127.0.0.1:"},
		{"0.0.0.0:0", "", "error"},
	} {
		p, err := Listen(Config{Listen: c.listen, Advertise: c.advertise, Identity: i})
		if err != nil {
			if c.want != "error" {
				t.Errorf("%+v: %v", c, err)
			}
			continue
		}
		if got := p.Addr(); !strings.HasPrefix(got, c.want) || strings.HasSuffix(got, ":0") {
			t.Errorf("%+v: advertised %s", c, got)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestOutgoingConnectionsLeaveFromTheListenAddress is what lets a directed link be cut.
func TestOutgoingConnectionsLeaveFromTheListenAddress(t *testing.T) {
	w := newWorld(t)
	a := w.portWith("a", defaultLimits, "127.0.0.1:0", identity(t, w.authority, "a"))
	b := w.portWith("b", defaultLimits, "127.0.0.2:0", identity(t, w.authority, "b"))
	a.Handle("state", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) }))
	from, err := get(b, "state", "a", "/")
	if err != nil || !strings.HasPrefix(from, "127.0.0.2:") {
		t.Errorf("the request came from %q, %v", from, err)
	}
}
