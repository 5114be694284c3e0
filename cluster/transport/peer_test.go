package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
)

// TestAnotherAuthorityIsRefused tries both sides of a connection.
func TestAnotherAuthorityIsRefused(t *testing.T) {
	ours, theirs := newWorld(t), newWorld(t)
	a, stranger := ours.port("a"), theirs.port("b", spec.RoleVoter, spec.RoleWorker, spec.RoleGateway)
	var served atomic.Int32
	count := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served.Add(1) })
	a.Handle("state", count)
	stranger.Handle("state", count)
	raft := a.Listener("raft")

	theirs.move("a", a.Addr())
	if _, err := get(stranger, "state", "a", "/"); err == nil {
		t.Error("a stranger asked")
	}
	ours.move("b", stranger.Addr())
	if _, err := get(a, "state", "b", "/"); !errors.Is(err, pki.ErrUntrusted) {
		t.Errorf("a stranger was asked: %v", err)
	}
	// The stranger checks nothing and is not told by its own side.
	c, err := tls.Dial("tcp", a.Addr(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"raft"}, Certificates: []tls.Certificate{*stranger.cfg.Identity.Certificate()}})
	if err == nil {
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		if _, err = c.Read(make([]byte, 1)); err == nil {
			t.Error("a stranger was spoken to")
		}
		_ = c.Close()
	}
	select {
	case c := <-raft.(*listener).queue:
		t.Errorf("a stranger's connection from %v was let in", c.RemoteAddr())
	default:
	}
	if n := served.Load(); n != 0 {
		t.Errorf("%d requests were served", n)
	}
}

// TestTheWrongNodeAtTheAddressIsRefused is a node whose address another has taken.
func TestTheWrongNodeAtTheAddressIsRefused(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.port("a"), w.port("b"), w.port("c")
	b.Handle("state", say("b"))
	c.Handle("state", say("c"))
	w.move("b", c.Addr())
	if got, err := get(a, "state", "b", "/"); err == nil || !strings.Contains(err.Error(), "node c's, not node b's") {
		t.Errorf("node c answered for node b: %q, %v", got, err)
	}
	w.move("b", b.Addr())
	if got, err := get(a, "state", "b", "/"); err != nil || got != "b to a" {
		t.Errorf("after the address is right: %q, %v", got, err)
	}
	if _, err := get(a, "state", "nobody", "/"); !errors.Is(err, ErrUnknownNode) {
		t.Errorf("an unknown node: %v", err)
	}
	if _, err := get(a, "state", "NO-ID_", "/"); err == nil {
		t.Error("an id that is none was asked")
	}
}

// TestARemovedNodeIsOut closes what stands and lets nothing new in.
func TestARemovedNodeIsOut(t *testing.T) {
	w := newWorld(t)
	quick := defaultLimits
	quick.recheck = 20 * time.Millisecond
	a := w.portWith("a", quick, "127.0.0.1:0", identity(t, w.authority, "a"))
	b := w.port("b")
	var served atomic.Int32
	a.Handle("state", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { served.Add(1); _, _ = io.WriteString(w, "ok") }))
	b.Handle("state", say("b"))
	raft := a.Listener("raft")
	if _, err := get(b, "state", "a", "/"); err != nil {
		t.Fatal(err)
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

	w.remove("b")
	if _, err := get(b, "state", "a", "/"); err == nil {
		t.Error("a removed node is served")
	}
	_ = in.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := in.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("its raw connection stands: %v", err)
	}
	again, err := b.Dial(t.Context(), "raft", a.Addr())
	if err == nil { // in TLS 1.3 the client learns of the refusal by its first read
		_ = again.SetReadDeadline(time.Now().Add(30 * time.Second))
		if _, err := again.Read(make([]byte, 1)); err == nil {
			t.Error("it was let in again")
		}
		_ = again.Close()
	}
	if _, err := get(a, "state", "b", "/"); err == nil || !strings.Contains(err.Error(), "removed") {
		t.Errorf("a removed node was asked: %v", err)
	}
	if n := served.Load(); n != 1 {
		t.Errorf("%d requests were served, want 1", n)
	}
}

// TestRecheckEndsWhatStands at once, an answer under way included.
func TestRecheckEndsWhatStands(t *testing.T) {
	w := newWorld(t)
	seldom := defaultLimits
	seldom.recheck = time.Hour
	a := w.portWith("a", seldom, "127.0.0.1:0", identity(t, w.authority, "a"))
	b := w.port("b")
	ended := make(chan struct{})
	a.Handle("state", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	answer, err := b.Client("state").Get("http://a/")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	a.Recheck()
	select {
	case <-ended:
		t.Fatal("a member's answer was ended")
	case <-time.After(100 * time.Millisecond):
	}
	w.remove("b")
	a.Recheck()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Error("it stands")
	}
}

// TestAnExpiredCertificateIsForAdmitToJudge moves the clock past all certificates.
func TestAnExpiredCertificateIsForAdmitToJudge(t *testing.T) {
	w := newWorld(t)
	w.admit = func(p Peer, proto string) error {
		if p.Expired && proto != "state" {
			return errors.New("its certificate has expired")
		}
		return nil
	}
	quick := defaultLimits
	quick.recheck = 20 * time.Millisecond
	a := w.portWith("a", quick, "127.0.0.1:0", identity(t, w.authority, "a"))
	b := w.port("b")
	tell := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p, ok := PeerOf(r); ok && p.Expired {
			_, _ = io.WriteString(w, "expired")
			return
		}
		_, _ = io.WriteString(w, "good")
	})
	a.Handle("state", tell)
	a.Handle("infer", tell)
	for _, proto := range []string{"state", "infer"} {
		if got, err := get(b, proto, "a", "/"); err != nil || got != "good" {
			t.Fatalf("%s: %q, %v", proto, got, err)
		}
	}
	later := time.Now().Add(2 * 365 * 24 * time.Hour)
	w.now.Store(&later)
	if got, err := get(b, "state", "a", "/"); err != nil || got != "expired" {
		t.Errorf("on a connection that stood: %q, %v", got, err)
	}
	if got, err := get(b, "infer", "a", "/"); err == nil {
		t.Errorf("infer answered %q to an expired certificate", got)
	}
	b.Drop("a")
	if got, err := get(b, "state", "a", "/"); err != nil || got != "expired" {
		t.Errorf("on a new connection: %q, %v", got, err)
	}

	// A renewed certificate is used at once, on both sides.
	for id, p := range map[spec.NodeID]*Port{"a": a, "b": b} {
		csr, err := p.cfg.Identity.CSR()
		if err != nil {
			t.Fatal(err)
		}
		der, err := w.authority.Sign(csr, pki.SignRequest{ID: id, Roles: []spec.Role{spec.RoleVoter}, TTL: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.cfg.Identity.Install(der, w.authority.Cert.Raw); err != nil {
			t.Fatal(err)
		}
	}
	within(t, 30*time.Second, "infer answers again", func() bool {
		got, err := get(b, "infer", "a", "/")
		return err == nil && got == "good"
	})
}

// TestOnlyJoinIsOpenToStrangers dials without a certificate.
func TestOnlyJoinIsOpenToStrangers(t *testing.T) {
	w := newWorld(t)
	few := defaultLimits
	few.joins, few.joinLife = 2, 2*time.Second
	a := w.portWith("a", few, "127.0.0.1:0", identity(t, w.authority, "a"))
	a.Handle("state", say("state"))
	a.Handle("join", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p, ok := PeerOf(r); ok {
			t.Errorf("join has a peer: %v", p)
		}
		_, _ = io.WriteString(w, "welcome")
	}))
	dial := func(proto string) (*tls.Conn, error) {
		c, err := tls.Dial("tcp", a.Addr(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{proto}})
		if err != nil {
			return nil, err
		}
		_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
		return c, nil
	}
	if c, err := dial("state"); err == nil {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("state spoke to a stranger")
		}
		_ = c.Close()
	}
	c, err := dial("join")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.ConnectionState().PeerCertificates) != 2 {
		t.Errorf("the server shows %d certificates, want its own and the authority's", len(c.ConnectionState().PeerCertificates))
	}
	plain := struct{ net.Conn }{c}
	client := &http.Client{Transport: &http.Transport{Protocols: onlyHTTP2(), DialContext: func(context.Context, string, string) (net.Conn, error) { return plain, nil }}}
	resp, err := client.Get("http://a/join")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(resp.Body)
	if _ = resp.Body.Close(); err != nil || string(raw) != "welcome" {
		t.Errorf("join answered %q, %v", raw, err)
	}
	second, err := dial("join")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if third, err := dial("join"); err == nil {
		if n, err := third.Read(make([]byte, 1)); err == nil && n > 0 {
			t.Error("a third stranger was spoken to, of two allowed")
		}
		_ = third.Close()
	}
	within(t, 30*time.Second, "the strangers' connections end", func() bool {
		return len(a.standing.list(func(*conn) bool { return true })) == 0
	})
	client.CloseIdleConnections()
	_ = c.Close()
}

func TestRequireRole(t *testing.T) {
	h := RequireRole(say("served"), spec.RoleGateway, spec.RoleVoter)
	for _, c := range []struct {
		peer *Peer
		want int
	}{
		{nil, 403},
		{&Peer{ID: "w", Roles: []spec.Role{spec.RoleWorker}}, 403},
		{&Peer{ID: "g", Roles: []spec.Role{spec.RoleWorker, spec.RoleGateway}}, 200},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if c.peer != nil {
			r = r.WithContext(WithPeer(r.Context(), *c.peer))
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if rec.Code != c.want || (c.want == 403) != strings.Contains(rec.Body.String(), `"code":"permission_denied"`) {
			t.Errorf("%+v: %d %s", c.peer, rec.Code, rec.Body)
		}
	}
}
