package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
)

// served runs a gRPC server with the port's TLS behind its splice of actor. Its
// health answers only to peers with a certificate.
func served(t *testing.T, p *Port, names chan<- string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	see := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		from, _ := peer.FromContext(ctx)
		if info, ok := from.AuthInfo.(credentials.TLSInfo); ok && len(info.State.PeerCertificates) > 0 {
			names <- info.State.PeerCertificates[0].Subject.CommonName
		}
		return next(ctx, req)
	}
	s := grpc.NewServer(grpc.Creds(credentials.NewTLS(p.ServerTLS("actor"))), grpc.UnaryInterceptor(see))
	healthpb.RegisterHealthServer(s, health.NewServer())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Serve(l) }()
	t.Cleanup(func() { s.Stop(); <-ended })
	p.Splice("actor", l.Addr().String())
}

func dialled(t *testing.T, from *Port, to string) healthpb.HealthClient {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///"+to, grpc.WithTransportCredentials(credentials.NewTLS(from.ClientTLS("actor", ""))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return healthpb.NewHealthClient(c)
}

func ask(t *testing.T, c healthpb.HealthClient, limit time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	_, err := c.Check(ctx, &healthpb.HealthCheckRequest{})
	return err
}

// TestSpliceToGRPC goes through the port to a real server, with mutual TLS end to end.
func TestSpliceToGRPC(t *testing.T) {
	w := newWorld(t)
	quick := defaultLimits
	quick.recheck = 20 * time.Millisecond
	a := w.portWith("a", quick, "127.0.0.1:0", identity(t, w.authority, "a"))
	b := w.port("b")
	names := make(chan string, 100)
	served(t, a, names)
	a.Handle("state", say("state"))
	c := dialled(t, b, a.Addr())
	for range 3 {
		if err := ask(t, c, 30*time.Second); err != nil {
			t.Fatal(err)
		}
		if name := <-names; name != "b" {
			t.Errorf("the server sees %q", name)
		}
	}
	if got, err := get(b, "state", "a", "/"); err != nil || got != "state to b" {
		t.Errorf("beside it: %q, %v", got, err)
	}
	if n := len(a.splices.list()); n != 1 {
		t.Errorf("%d splices, want 1", n)
	}
	within(t, 30*time.Second, "the handshake has left the gate", func() bool {
		a.gate.mu.Lock()
		defer a.gate.mu.Unlock()
		return a.gate.mu.all == 0
	})

	w.remove("b")
	within(t, 30*time.Second, "the removed node's connection ends", func() bool { return len(a.splices.list()) == 0 })
	if err := ask(t, c, time.Second); err == nil {
		t.Error("a removed node is answered")
	}
}

// TestTheServerBehindRefusesStrangers whether they come by the port or past it.
func TestTheServerBehindRefusesStrangers(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	a, stranger := w.port("a"), other.port("b")
	names := make(chan string, 100)
	served(t, a, names)
	a.mu.Lock()
	behind := a.mu.splices["actor"]
	a.mu.Unlock()
	for _, at := range []string{a.Addr(), behind} {
		if err := ask(t, dialled(t, stranger, at), time.Second); err == nil {
			t.Errorf("a stranger was answered at %s", at)
		}
		c, err := tls.Dial("tcp", at, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"actor", "h2"}})
		if err == nil {
			_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Errorf("somebody without a certificate was spoken to at %s", at)
			}
			_ = c.Close()
		}
	}
	if len(names) != 0 {
		t.Errorf("%q was served", <-names)
	}
}

// TestAHandshakeThatStallsBehindIsCut holds the connection at the server behind.
func TestAHandshakeThatStallsBehindIsCut(t *testing.T) {
	w := newWorld(t)
	short := defaultLimits
	short.handshakeTimeout = time.Second
	a := w.portWith("a", short, "127.0.0.1:0", identity(t, w.authority, "a"))
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	a.Splice("actor", silent.Addr().String())
	raw, err := net.Dial("tcp", a.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	client := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"actor"}})
	_ = raw.SetDeadline(time.Now().Add(30 * time.Second))
	if err := client.Handshake(); err == nil {
		t.Error("a handshake with nobody was made")
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection stands")
	}
	in, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	_ = in.SetReadDeadline(time.Now().Add(30 * time.Second))
	if hello, err := io.ReadAll(in); err != nil || len(hello) < 100 || hello[0] != 22 {
		t.Errorf("the server behind got %d bytes of the hello, %v", len(hello), err)
	}
}
