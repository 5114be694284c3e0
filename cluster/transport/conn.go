package transport

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A conn is a TLS connection whose peer has been let in. It hides that it is
// TLS: net/http would look for h2 in its ALPN, and speak HTTP/1 without.
type conn struct {
	net.Conn
	tls      *tls.Conn // the same
	port     *Port
	proto    string
	peer     *vetted     // nil on join
	ending   *time.Timer // of a stranger's connection; nil: it may stand
	outgoing bool
	pooled   bool // HTTP, of which the port itself is a user and waits for the end
	bulk     *bulk
	closing  sync.Once
	dead     atomic.Bool // it was killed
}

// Flush sends what was written. Where the protocol moves much nothing is sent before
// there is much of it, or Flush is called; elsewhere it does nothing.
func (c *conn) Flush() error {
	if c.bulk == nil {
		return nil
	}
	return c.bulk.flush()
}

// Close ends the connection in good order.
func (c *conn) Close() error {
	if c.bulk != nil {
		_ = c.bulk.SetWriteDeadline(time.Unix(1, 0)) // a write that waits for the peer holds what uncork needs
		c.bulk.uncork()
	}
	err := c.Conn.Close()
	c.forget()
	return err
}

// kill ends the connection now, without a word to a peer that may be dead.
func (c *conn) kill() {
	c.dead.Store(true)
	_ = c.tls.NetConn().Close()
}

func (c *conn) forget() {
	c.closing.Do(func() {
		if c.ending != nil {
			c.ending.Stop()
		}
		c.port.standing.remove(c)
	})
}

// standing has the connections of a port that stand.
type standing struct {
	mu struct {
		sync.Mutex
		all    map[*conn]bool
		joins  int
		closed bool
	}
	pooled  sync.WaitGroup // those of HTTP, for Close
	metrics *metrics
}

func newStanding(m *metrics) *standing {
	s := &standing{metrics: m}
	s.mu.all = map[*conn]bool{}
	return s
}

// add is false if the port is closed, or has joins of that many strangers already.
func (s *standing) add(c *conn, joins int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed || c.peer == nil && s.mu.joins >= joins {
		return false
	}
	s.mu.all[c] = true
	if c.peer == nil {
		s.mu.joins++
	}
	if c.pooled {
		s.pooled.Add(1)
	}
	s.metrics.connections.WithLabelValues(c.proto, direction(c)).Inc()
	return true
}

func (s *standing) remove(c *conn) {
	s.mu.Lock()
	known := s.mu.all[c]
	delete(s.mu.all, c)
	if known && c.peer == nil {
		s.mu.joins--
	}
	s.mu.Unlock()
	if !known {
		return
	}
	s.metrics.connections.WithLabelValues(c.proto, direction(c)).Dec()
	if c.pooled {
		s.pooled.Done()
	}
}

// list returns the connections for which which is true.
func (s *standing) list(which func(*conn) bool) []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*conn
	for c := range s.mu.all {
		if which(c) {
			out = append(out, c)
		}
	}
	return out
}

// close ends all connections and lets none in any more.
func (s *standing) close() {
	s.mu.Lock()
	s.mu.closed = true
	s.mu.Unlock()
	for _, c := range s.list(func(*conn) bool { return true }) {
		c.kill()
	}
}

func direction(c *conn) string {
	if c.outgoing {
		return "out"
	}
	return "in"
}

var _ net.Conn = (*conn)(nil)
