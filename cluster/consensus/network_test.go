package consensus

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// network joins the ports of one test over loopback TCP. Links can be cut: what
// is written on a cut link is lost, and dialling over it never ends.
type network struct {
	ip    string // no other network's, so that an address is never taken over by one
	mu    sync.Mutex
	ports map[string]*port // by id
	cuts  map[link]bool
}

type link struct{ a, b string }

func between(a, b string) link { return link{min(a, b), max(a, b)} }

var networks atomic.Uint32

func newNetwork() *network {
	return &network{ip: fmt.Sprintf("127.77.%d.1", networks.Add(1)%256), ports: map[string]*port{}, cuts: map[link]bool{}}
}

func (n *network) cut(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts[between(a, b)] = true
}

// heal mends the link. Connections that have lost bytes are closed.
func (n *network) heal(a, b string) {
	n.mu.Lock()
	delete(n.cuts, between(a, b))
	pa, pb := n.ports[a], n.ports[b]
	n.mu.Unlock()
	pa.closeWith(b)
	pb.closeWith(a)
}

func (n *network) isCut(a, b string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cuts[between(a, b)]
}

func (n *network) resolve(id string) (*port, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p, ok := n.ports[id]
	return p, ok
}

func (n *network) owner(addr string) (string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, p := range n.ports {
		if p.Addr() == addr {
			return id, true
		}
	}
	return "", false
}

// port is a cluster port without certificates: each connection begins with a
// line that names the protocol and who dials.
type port struct {
	net     *network
	id      string
	real    net.Listener
	in      map[string]*inbound // raft, state
	server  *http.Server
	client  *http.Client
	serving sync.WaitGroup

	mu     sync.Mutex
	conns  map[*linkConn]bool
	closed bool
}

// listen opens a port at addr; empty: anywhere.
func (n *network) listen(t *testing.T, id, addr string) *port {
	t.Helper()
	l, err := net.Listen("tcp", cmp.Or(addr, n.ip+":0"))
	if err != nil {
		t.Fatal(err)
	}
	p := &port{net: n, id: id, real: l, in: map[string]*inbound{}, conns: map[*linkConn]bool{}}
	for _, proto := range []string{"raft", "state"} {
		p.in[proto] = &inbound{conns: make(chan net.Conn), done: make(chan struct{}), addr: l.Addr()}
	}
	p.client = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, host string) (net.Conn, error) {
		to, ok := n.resolve(strings.TrimSuffix(host, ":80"))
		if !ok {
			return nil, &net.OpError{Op: "dial", Err: errors.New("no such node")}
		}
		return p.Dial(ctx, "state", to.Addr())
	}}}
	p.serving.Go(p.accept)
	n.mu.Lock()
	n.ports[id] = p
	n.mu.Unlock()
	t.Cleanup(p.close)
	return p
}

// serve answers the "state" protocol.
func (p *port) serve(h http.Handler) {
	p.server = &http.Server{Handler: h}
	p.serving.Go(func() { _ = p.server.Serve(p.in["state"]) })
}

func (p *port) Addr() string                       { return p.real.Addr().String() }
func (p *port) Listener(proto string) net.Listener { return p.in[proto] }
func (p *port) Client(string) *http.Client         { return p.client }

func (p *port) Dial(ctx context.Context, proto, addr string) (net.Conn, error) {
	peer, known := p.net.owner(addr)
	if known && p.net.isCut(p.id, peer) {
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Err: ctx.Err()}
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(c, "%s %s\n", proto, p.id); err != nil {
		return nil, err
	}
	return p.track(c, nil, peer)
}

func (p *port) accept() {
	for {
		c, err := p.real.Accept()
		if err != nil {
			return
		}
		p.serving.Go(func() {
			r := bufio.NewReader(c)
			line, err := r.ReadString('\n')
			var proto, peer string
			if _, scan := fmt.Sscan(line, &proto, &peer); err != nil || scan != nil {
				_ = c.Close()
				return
			}
			if tracked, err := p.track(c, r, peer); err == nil {
				p.in[proto].give(tracked)
			}
		})
	}
}

func (p *port) track(c net.Conn, r io.Reader, peer string) (net.Conn, error) {
	l := &linkConn{Conn: c, r: r, port: p, peer: peer}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.Close()
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
	p.conns[l] = true
	return l, nil
}

func (p *port) closeWith(peer string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if peer == "" || c.peer == peer {
			_ = c.Conn.Close()
			delete(p.conns, c)
		}
	}
}

// close is what the end of the process does to the port.
func (p *port) close() {
	p.mu.Lock()
	again := p.closed
	p.closed = true
	p.mu.Unlock()
	if again {
		return
	}
	_ = p.real.Close()
	p.closeWith("")
	for _, in := range p.in {
		_ = in.Close()
	}
	if p.server != nil {
		_ = p.server.Close()
	}
	p.client.CloseIdleConnections()
	p.serving.Wait()
}

type linkConn struct {
	net.Conn
	r    io.Reader
	port *port
	peer string
}

func (c *linkConn) Read(b []byte) (int, error) {
	if c.r != nil {
		return c.r.Read(b)
	}
	return c.Conn.Read(b)
}

func (c *linkConn) Write(b []byte) (int, error) {
	if c.port.net.isCut(c.port.id, c.peer) {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *linkConn) Close() error {
	c.port.mu.Lock()
	delete(c.port.conns, c)
	c.port.mu.Unlock()
	return c.Conn.Close()
}

// inbound is one protocol's listener.
type inbound struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
	addr  net.Addr
}

func (l *inbound) give(c net.Conn) {
	select {
	case l.conns <- c:
	case <-l.done:
		_ = c.Close()
	}
}

func (l *inbound) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *inbound) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *inbound) Addr() net.Addr { return l.addr }

// eventually waits for what is said, and no longer than within.
func eventually(t *testing.T, within time.Duration, said string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(within); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("not within %s: %s", within, said)
		}
	}
}
