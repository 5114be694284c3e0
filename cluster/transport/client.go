package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/pool"
)

// ErrUnknownNode is wrapped where a node's address is not known.
var ErrUnknownNode = errors.New("the node's address is not known")

// Client asks nodes by proto: its URLs are http://NODE-ID/path. The connection is
// TLS all the same, and the peer's certificate must be that node's. It follows no
// redirect. A request that was not sent, and has no body or can make it again, is
// sent once more on another connection.
func (p *Port) Client(proto string) *http.Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := p.mu.clients[proto]; ok {
		return c
	}
	pl := &links{port: p, proto: proto}
	pl.mu.lanes = map[spec.NodeID]*lane{}
	pl.transport = &http.Transport{
		Protocols: onlyHTTP2(), DialContext: pl.connect, DisableCompression: true,
		IdleConnTimeout: maxIdleClients, MaxResponseHeaderBytes: maxHeader,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: p.limits.pingAfter, PingTimeout: p.limits.pingTimeout,
			WriteByteTimeout: p.limits.pingAfter + p.limits.pingTimeout, MaxReadFrameSize: maxFrame,
		},
	}
	if p.cfg.Registerer != nil {
		p.cfg.Registerer.MustRegister(pool.Collect("node-connections-"+proto, pool.Idle|pool.Waits|pool.Closed, pl.stats))
	}
	c := &http.Client{Transport: pl, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	p.mu.clients[proto] = c
	return c
}

// Links have the connections of one protocol, by node. Requests to a node share
// one, until its streams are used up; those that find none wait for one dial.
type links struct {
	port      *Port
	proto     string
	transport *http.Transport // makes ClientConns; pools nothing itself
	counts    struct{ taken, waits, waited, dialled, closed atomic.Uint64 }
	mu        struct {
		sync.Mutex
		lanes map[spec.NodeID]*lane
	}
}

// stats tells of the connections; their items are those, not the requests that share them.
func (pl *links) stats() pool.Stats {
	s := pool.Stats{Gets: pl.counts.taken.Load(), Misses: pl.counts.dialled.Load(), Waits: pl.counts.waits.Load(), Waited: time.Duration(pl.counts.waited.Load()),
		Closed: pl.counts.closed.Load()}
	pl.mu.Lock()
	defer pl.mu.Unlock()
	for _, l := range pl.mu.lanes {
		for _, c := range l.conns {
			if c.Err() != nil || c.under.dead.Load() {
				continue
			}
			if s.Items++; c.InFlight() == 0 {
				s.Idle++
			}
		}
	}
	return s
}

type lane struct {
	conns   []pooled
	dialing *dialing // nil: nobody dials
}

// A pooled connection knows what is under it: net/http learns that a connection
// was killed only when it next reads.
type pooled struct {
	*http.ClientConn
	under *conn
}

// dialing is one attempt that all who wait share.
type dialing struct {
	done chan struct{}
	err  error // set before done is closed
}

const maxSends = 3

// RoundTrip implements http.RoundTripper.
func (pl *links) RoundTrip(req *http.Request) (*http.Response, error) {
	id := spec.NodeID(req.URL.Hostname())
	if err := id.Valid(); err != nil {
		return nil, giveUp(req, err)
	}
	for sends := 1; ; sends++ {
		c, err := pl.take(req.Context(), id)
		if err != nil {
			return nil, giveUp(req, err)
		}
		var sent atomic.Bool
		trace := &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }}
		resp, err := c.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
		if err == nil {
			return resp, nil
		}
		again := rewound(req)
		if sends == maxSends || sent.Load() || req.Context().Err() != nil || again == nil {
			return nil, fmt.Errorf("node %s: %w", id, err)
		}
		req = again
	}
}

func giveUp(req *http.Request, err error) error {
	if req.Body != nil {
		_ = req.Body.Close()
	}
	return err
}

// rewound is the request with its body at the beginning, or nil if there is no way.
func rewound(req *http.Request) *http.Request {
	if req.Body == nil || req.Body == http.NoBody {
		return req
	}
	if req.GetBody == nil {
		return nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil
	}
	next := req.Clone(req.Context())
	next.Body = body
	return next
}

// take returns a connection with one place reserved on it.
func (pl *links) take(ctx context.Context, id spec.NodeID) (*http.ClientConn, error) {
	pl.counts.taken.Add(1)
	for {
		c, d := pl.reserve(id)
		if c != nil {
			return c, nil
		}
		began := time.Now()
		pl.counts.waits.Add(1)
		select {
		case <-d.done:
			pl.counts.waited.Add(uint64(time.Since(began)))
			if d.err != nil {
				return nil, d.err
			}
		case <-ctx.Done():
			pl.counts.waited.Add(uint64(time.Since(began)))
			return nil, fmt.Errorf("waiting for a connection to node %s: %w", id, context.Cause(ctx))
		}
	}
}

// reserve takes a place, or tells which dial to wait for.
func (pl *links) reserve(id spec.NodeID) (*http.ClientConn, *dialing) {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	l := pl.mu.lanes[id]
	if l == nil {
		l = &lane{}
		pl.mu.lanes[id] = l
	}
	had := len(l.conns)
	l.conns = slices.DeleteFunc(l.conns, spent)
	pl.counts.closed.Add(uint64(had - len(l.conns)))
	for _, c := range l.conns {
		if c.Reserve() == nil {
			return c.ClientConn, nil
		}
	}
	if l.dialing == nil {
		l.dialing = pl.dial(id)
	}
	return nil, l.dialing
}

// spent tells whether the connection will take no request any more. One that was
// merely told so by its peer is closed when its last request has ended.
func spent(c pooled) bool {
	if c.Err() != nil || c.under.dead.Load() {
		return true
	}
	if c.Available() == 0 && c.InFlight() == 0 {
		c.under.kill()
		return true
	}
	return false
}

// dial begins a connection to the node, which belongs to nobody's request: it
// ends when the port does, or in time.
func (pl *links) dial(id spec.NodeID) *dialing {
	d := &dialing{done: make(chan struct{})}
	if !pl.port.goWork(func() {
		under := new(*conn)
		ctx := context.WithValue(pl.port.life, underKey{}, under)
		pl.counts.dialled.Add(1)
		c, err := pl.transport.NewClientConn(ctx, "http", net.JoinHostPort(string(id), "80"))
		pl.mu.Lock()
		l := pl.mu.lanes[id]
		l.dialing = nil
		if err == nil {
			l.conns = append(l.conns, pooled{c, *under})
		} else {
			d.err = fmt.Errorf("node %s: %w", id, err)
		}
		pl.mu.Unlock()
		close(d.done)
	}) {
		d.err = net.ErrClosed
		close(d.done)
	}
	return d
}

type underKey struct{}

// connect is called by NewClientConn with the host:port that dial gave it.
func (pl *links) connect(ctx context.Context, _, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	id := spec.NodeID(host)
	at, ok := "", false
	if pl.port.cfg.Resolve != nil {
		at, ok = pl.port.cfg.Resolve(id)
	}
	if !ok {
		return nil, ErrUnknownNode
	}
	c, err := pl.port.dial(ctx, pl.proto, at, id, true)
	if err != nil {
		return nil, err
	}
	if under, ok := ctx.Value(underKey{}).(**conn); ok {
		*under = c
	}
	return c, nil
}
