package gateway

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lotabots/lotabots/cluster/spec/turns"
)

// listeners are those under Serve. Closing them marks the end, so that a Serve
// that begins after Shutdown serves nobody.
type listeners struct {
	head, idle time.Duration // for the first bytes of a request once one is there, and until then
	mu         struct {
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
	added := &listener{Listener: ln, crowd: c, tls: config, head: l.head, idle: l.idle}
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
	head  time.Duration
	idle  time.Duration
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
		one := &conn{TCPConn: tcp, fresh: true, head: l.head, wait: l.idle}
		switch {
		case !l.crowd.join(one):
			l.crowd.refuse(one)
		case l.tls != nil:
			return &secure{tls.Server(one, l.tls), one}, nil // which shakes hands when the server is ready to wait
		default:
			return one, nil
		}
	}
}

// A conn that lingers takes in what the client still sends before it closes. A
// close on unread bytes resets the connection, and then the client may lose
// the answer that says why.
//
// Until its first byte comes it waits for as long as a connection may that has been used:
// the server itself would have it hurry.
type conn struct {
	*net.TCPConn
	linger atomic.Bool
	crowd  *crowd
	idle   atomic.Int64 // Unix ms since when no whole request is there; 0: one is

	fresh      bool      // nothing has come yet; the reading goroutine's, as is what follows
	again      bool      // it is not new, but is served once more
	dry        bool      // nothing is to be read
	apart      *detached // what is to be run once the server has let go of it
	head, wait time.Duration

	reading, writing deadline

	letGo atomic.Int32 // as many Closes to come are the server's, which lets go of it, once for each stream
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if c.dry {
		return 0, errDry
	}
	turns.Yield() // by then more may have come, which spares a wait
	n, err := c.TCPConn.Read(p)
	for n == 0 && err != nil && errors.Is(err, os.ErrDeadlineExceeded) && c.reading.early(time.Now(), c.TCPConn.SetReadDeadline) {
		n, err = c.TCPConn.Read(p)
	}
	switch {
	case !c.fresh:
	case n > 0:
		c.fresh = false
		_ = c.SetReadDeadline(time.Now().Add(c.head))
	case err != nil && c.again:
		err = io.EOF // it is closed without a word: nobody has asked for anything
	}
	return n, err
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	turns.Yield()
	n, err := c.TCPConn.Write(p)
	for err != nil && errors.Is(err, os.ErrDeadlineExceeded) && c.writing.early(time.Now(), c.TCPConn.SetWriteDeadline) {
		var more int
		more, err = c.TCPConn.Write(p[n:])
		n += more
	}
	if err != nil && c.crowd != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		c.crowd.readers.Inc()
	}
	return n, err
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	if c.fresh && !t.IsZero() && t.After(time.Now()) {
		t = time.Now().Add(c.wait)
	}
	return c.reading.set(t, c.TCPConn.SetReadDeadline)
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	return c.writing.set(t, c.TCPConn.SetWriteDeadline)
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// ReadFrom implements io.ReaderFrom: by Write, which knows of deadlines.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c}, r)
}

// WriteTo implements io.WriterTo: by Read, as ReadFrom by Write.
func (c *conn) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{c})
}

const (
	lingerTime  = time.Second
	lingerBytes = 64 << 20
)

// discard takes in what comes, for a short while.
func (c *conn) discard() {
	in := freePieces.Get()
	defer freePieces.Put(in)
	for left := lingerBytes; left > 0; {
		n, err := c.TCPConn.Read(in[:])
		if left -= n; err != nil {
			return
		}
		if n == len(in) && c.crowd != nil { // who sends less at a time is nobody's burden
			time.Sleep(c.crowd.sluice.take(n, time.Now()))
		}
	}
}

// spared tells that this Close is one by which the server lets go. The connection's own may come before it:
// which of them is the last does not matter.
func (c *conn) spared() bool {
	for n := c.letGo.Load(); n > 0; n = c.letGo.Load() {
		if c.letGo.CompareAndSwap(n, n-1) {
			return true
		}
	}
	return false
}

// Close closes the connection; it takes at most lingerTime.
func (c *conn) Close() error {
	if c.spared() {
		return nil
	}
	if c.crowd != nil {
		defer c.crowd.leave(c)
	}
	if c.linger.Swap(false) {
		_ = c.CloseWrite()
		_ = c.TCPConn.SetReadDeadline(time.Now().Add(lingerTime))
		c.discard()
	}
	return c.TCPConn.Close()
}
