package gateway

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// listeners are those under Serve. Closing them marks the end, so that a Serve
// that begins after Shutdown serves nobody.
type listeners struct {
	mu struct {
		sync.Mutex
		open   []*listener
		closed bool
	}
}

func (l *listeners) add(ln net.Listener, c *crowd, config *tls.Config) (*listener, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closed {
		return nil, false
	}
	added := &listener{Listener: ln, crowd: c, tls: config}
	l.mu.open = append(l.mu.open, added)
	return added, true
}

func (l *listeners) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.closed = true
	for _, ln := range l.mu.open {
		_ = ln.Close()
	}
}

func (l *listeners) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.closed
}

// A listener may be closed more than once, and gives out connections that can linger.
type listener struct {
	net.Listener
	crowd *crowd
	tls   *tls.Config // nil: plain
	once  sync.Once
	err   error
}

func (l *listener) Close() error {
	l.once.Do(func() { l.err = l.Listener.Close() })
	return l.err
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		tcp, ok := c.(*net.TCPConn)
		if err != nil || !ok {
			return c, err
		}
		one := &conn{TCPConn: tcp}
		switch {
		case !l.crowd.join(one):
			l.crowd.refuse(one)
		case l.tls != nil:
			return tls.Server(one, l.tls), nil // which shakes hands when it is first read
		default:
			return one, nil
		}
	}
}

// A conn that lingers takes in what the client still sends before it closes. A
// close on unread bytes resets the connection, and then the client may lose
// the answer that says why.
type conn struct {
	*net.TCPConn
	linger atomic.Bool
	crowd  *crowd
	idle   atomic.Int64 // Unix ms since when no whole request is there; 0: one is
}

const (
	lingerTime  = time.Second
	lingerBytes = 64 << 20
)

// Close closes the connection; it takes at most lingerTime.
func (c *conn) Close() error {
	if c.crowd != nil {
		defer c.crowd.leave(c)
	}
	if c.linger.Swap(false) {
		_ = c.CloseWrite()
		_ = c.SetReadDeadline(time.Now().Add(lingerTime))
		_, _ = io.CopyN(io.Discard, c.TCPConn, lingerBytes)
	}
	return c.TCPConn.Close()
}
