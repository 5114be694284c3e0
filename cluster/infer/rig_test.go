package infer

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lotabots/lotabots/cluster/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// opener is an Opener made of a function.
type opener func(ctx context.Context, target spec.Target, call spec.Call, body []byte) (spec.Stream, error)

func (o opener) Open(ctx context.Context, target spec.Target, call spec.Call, body []byte) (spec.Stream, error) {
	return o(ctx, target, call, body)
}

// answer is an engine's stream: r's bytes, and closing it ends reads of a pipe.
type answer struct {
	io.Reader
	status int
	head   int
	load   *spec.Load
	closed chan struct{}
	once   sync.Once
}

func whole(r io.Reader) *answer { return &answer{Reader: r, status: 200, closed: make(chan struct{})} }

func (a *answer) Status() int         { return a.status }
func (a *answer) ContentType() string { return "text/event-stream" }
func (a *answer) HeadLength() int     { return a.head }
func (a *answer) Load() (spec.Load, bool) {
	if a.load == nil {
		return spec.Load{}, false
	}
	return *a.load, true
}

func (a *answer) Close() error {
	a.once.Do(func() {
		if p, ok := a.Reader.(*io.PipeReader); ok {
			_ = p.Close()
		}
		close(a.closed)
	})
	return nil
}

// rig is node "b", served over HTTP/2 on loopback, and a client of it.
type rig struct {
	t      *testing.T
	client *Client
	http   *http.Client
	conns  *conns
}

// conns keeps what was accepted, so that a test can cut it.
type conns struct {
	net.Listener
	mu   sync.Mutex
	open []net.Conn
}

func (c *conns) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.mu.Lock()
		c.open = append(c.open, conn)
		c.mu.Unlock()
	}
	return conn, err
}

func (c *conns) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.open {
		_ = conn.Close()
	}
	c.open = nil
}

func serveH(t *testing.T, h http.Handler) *rig {
	t.Helper()
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &conns{Listener: raw}
	var only http.Protocols
	only.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: h, Protocols: &only}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	transport := &http.Transport{Protocols: &only, DisableCompression: true,
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			if addr != "b:80" {
				return nil, errors.New("no such node")
			}
			return new(net.Dialer).DialContext(ctx, "tcp", raw.Addr().String())
		}}
	r := &rig{t: t, http: &http.Client{Transport: transport}, conns: l}
	r.client = NewClient(r)
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Close()
		<-served
	})
	return r
}

func newRig(t *testing.T, o spec.Opener, c Config) *rig {
	t.Helper()
	return serveH(t, Handler(o, c))
}

func (r *rig) Client(proto string) *http.Client {
	if proto != "infer" {
		r.t.Errorf("asked for a client of %q", proto)
	}
	return r.http
}

func (r *rig) open(ctx context.Context, body string) (spec.Stream, error) {
	return r.client.Open(ctx, spec.Target{Node: "b", Instance: "i1"}, spec.Call{RequestID: "r1", Attempt: 1}, []byte(body))
}

func (r *rig) must(ctx context.Context, body string) spec.Stream {
	r.t.Helper()
	s, err := r.open(ctx, body)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = s.Close() })
	return s
}

// soon fails the test unless ch is closed in time.
func soon(t *testing.T, what string, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(30 * time.Second):
		t.Fatalf("not within 30 s: %s", what)
	}
}
