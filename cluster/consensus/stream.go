package consensus

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// stream lets raft's transport use the cluster port. It knows every connection,
// since the transport itself closes neither idle ones nor those that it serves.
type stream struct {
	port     Port
	listener net.Listener
	ctx      context.Context // ends with cut: no more dialling
	cancel   context.CancelFunc

	mu struct {
		sync.Mutex
		open   map[*trackedConn]struct{}
		closed bool
	}
}

var _ raft.StreamLayer = (*stream)(nil)

func newStream(p Port) *stream {
	s := &stream{port: p, listener: p.Listener("raft")}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.mu.open = map[*trackedConn]struct{}{}
	return s
}

func (s *stream) Accept() (net.Conn, error) {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return nil, err
		}
		if tracked, ok := s.track(c); ok {
			return tracked, nil
		}
	}
}

func (s *stream) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(s.ctx, timeout)
	defer cancel()
	c, err := s.port.Dial(ctx, "raft", string(address))
	if err != nil {
		return nil, err
	}
	if tracked, ok := s.track(c); ok {
		return tracked, nil
	}
	return nil, net.ErrClosed
}

func (s *stream) track(c net.Conn) (net.Conn, bool) {
	t := &trackedConn{Conn: c, of: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		_ = c.Close()
		return nil, false
	}
	s.mu.open[t] = struct{}{}
	return t, true
}

// cut closes every connection and lets no new one in, which ends what waits on
// them. The listener stays, for the transport to close.
func (s *stream) cut() {
	s.cancel()
	s.mu.Lock()
	s.mu.closed = true
	open := s.mu.open
	s.mu.open = nil
	s.mu.Unlock()
	for c := range open {
		_ = c.Conn.Close()
	}
}

func (s *stream) Close() error   { return s.listener.Close() }
func (s *stream) Addr() net.Addr { return advertised(s.port.Addr()) }

type trackedConn struct {
	net.Conn
	of *stream
}

func (c *trackedConn) Close() error {
	c.of.mu.Lock()
	delete(c.of.mu.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// advertised is a host:port that need not be an IP address.
type advertised string

func (a advertised) Network() string { return "tcp" }
func (a advertised) String() string  { return string(a) }
