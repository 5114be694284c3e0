package transport

import (
	"net"
	"sync"
	"time"
)

// A listener gives out connections that have been let in already.
type listener struct {
	addr   net.Addr
	queue  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newListener(addr net.Addr, backlog int) *listener {
	return &listener{addr: addr, queue: make(chan net.Conn, backlog), closed: make(chan struct{})}
}

// give is false if nobody took the connection in time.
func (l *listener) give(c net.Conn, wait time.Duration) bool {
	if l.isClosed() {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case l.queue <- c:
		// A close in between may have emptied the queue before this: look again.
		if l.isClosed() {
			l.drain()
		}
		return true
	case <-l.closed:
		return false
	case <-timer.C:
		return false
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	l.drain()
	return nil
}

func (l *listener) drain() {
	for {
		select {
		case c := <-l.queue:
			_ = c.Close()
		default:
			return
		}
	}
}

func (l *listener) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

func (l *listener) Addr() net.Addr { return l.addr }
