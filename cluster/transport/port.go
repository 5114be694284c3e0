package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A Port is the cluster port of one node. Its methods may be called at the same time.
type Port struct {
	cfg     Config
	limits  limits
	metrics *metrics
	tcp     net.Listener
	udp     *net.UDPConn
	addr    string // advertised
	from    net.IP // that outgoing connections leave from; nil: any

	gate     *gate
	standing *standing
	splices  *splices
	server   *http.Server
	incoming *listener // of the HTTP protocols, for server
	told     sparse    // warnings about strangers
	look     chan struct{}

	mu struct {
		sync.Mutex
		handlers map[string]http.Handler
		raw      map[string]*listener
		splices  map[string]string // protocol to loopback address
		clients  map[string]*http.Client
		closed   bool
	}
	life     context.Context // ends with Close
	end      context.CancelFunc
	work     sync.WaitGroup // goroutines of the port
	handling sync.WaitGroup // requests in handlers
}

// Listen opens the port and accepts connections at once; protocols are refused
// until they are served.
func Listen(c Config) (*Port, error) { return listen(c, defaultLimits) }

func listen(c Config, l limits) (*Port, error) {
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Identity == nil || c.Identity.Certificate() == nil {
		return nil, errNoCertificate
	}
	p := &Port{cfg: c, limits: l, gate: newGate(l), look: make(chan struct{}, 1)}
	if err := p.bind(); err != nil {
		return nil, err
	}
	p.metrics = newMetrics(c.Registerer)
	p.standing, p.splices = newStanding(p.metrics), newSplices()
	p.incoming = newListener(p.tcp.Addr(), l.backlog)
	p.mu.handlers, p.mu.raw = map[string]http.Handler{}, map[string]*listener{}
	p.mu.splices, p.mu.clients = map[string]string{}, map[string]*http.Client{}
	p.life, p.end = context.WithCancel(context.Background())
	p.server = p.newServer()
	p.work.Go(p.accept)
	p.work.Go(func() { _ = p.server.Serve(p.incoming) })
	p.work.Go(p.recheck)
	return p, nil
}

// goWork runs fn as one of the port's goroutines; false once the port is closed.
func (p *Port) goWork(fn func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.closed {
		return false
	}
	p.work.Go(fn)
	return true
}

// Addr is the host:port under which others reach the port.
func (p *Port) Addr() string { return p.addr }

// Packets is the UDP side of the port. It is the caller's to read; nothing is
// encrypted here. Close of the port closes it.
func (p *Port) Packets() net.PacketConn { return p.udp }

// Handle serves proto by h from now on. Requests know their Peer.
func (p *Port) Handle(proto string, h http.Handler) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.handlers[proto] = h
}

// Listener takes the raw connections of proto, until it or the port is closed.
// While one is open, a second call returns the same.
func (p *Port) Listener(proto string) net.Listener {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l, ok := p.mu.raw[proto]; ok && !l.isClosed() {
		return l
	}
	l := newListener(p.tcp.Addr(), p.limits.backlog)
	if p.mu.closed {
		_ = l.Close()
	}
	p.mu.raw[proto] = l
	return l
}

// Splice hands connections that offer proto over to the server at loopbackAddr,
// untouched: its TLS configuration is to be ServerTLS(proto). A connection whose
// handshake is not done there in time is cut.
func (p *Port) Splice(proto, loopbackAddr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.splices[proto] = loopbackAddr
}

// Drop closes the pooled connections to a node that is known to be dead, and those
// that move much. What is under way on them fails at once. The next request dials again.
func (p *Port) Drop(id spec.NodeID) {
	for _, c := range p.standing.list(func(c *conn) bool { return c.outgoing && (c.pooled || c.bulk != nil) && c.peer.peer.ID == id }) {
		c.kill()
	}
}

// Recheck has the port ask Admit about every connection that stands, soon: call it
// when the answers may have changed. It does so once a second in any case.
func (p *Port) Recheck() {
	select {
	case p.look <- struct{}{}:
	default: // it is about to
	}
}

// Close ends the port with all its connections, and waits for what it runs,
// handlers included. Closing twice is harmless.
func (p *Port) Close() error {
	p.mu.Lock()
	if p.mu.closed {
		p.mu.Unlock()
		return nil
	}
	p.mu.closed = true
	raw := make([]*listener, 0, len(p.mu.raw))
	for _, l := range p.mu.raw {
		raw = append(raw, l)
	}
	p.mu.Unlock()

	p.end()
	failed := []error{p.tcp.Close(), p.udp.Close()}
	for _, l := range append(raw, p.incoming) {
		_ = l.Close()
	}
	_ = p.server.Close() // closes p.incoming, once more
	p.standing.close()
	p.splices.close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.work.Wait()
		p.handling.Wait()
		p.standing.pooled.Wait()
	}()
	select {
	case <-done:
	case <-time.After(p.limits.closeTimeout):
		failed = append(failed, errors.New("a handler of the cluster port has not ended in time"))
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("closing the cluster port: %w", err)
	}
	return nil
}
