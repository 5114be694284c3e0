package transport

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A splice is a connection that was handed over to a server on loopback.
type splice struct {
	proto        string
	outer, inner net.Conn
	peer         atomic.Pointer[vetted] // nil until the server behind has let it in
	known        chan struct{}          // closed then
}

func (s *splice) kill() {
	_ = s.outer.Close()
	_ = s.inner.Close()
}

// splices are the splices of a port, by the address from which the server behind
// sees them come: that is how its handshakes tell whose they are.
type splices struct {
	mu struct {
		sync.Mutex
		all    map[string]*splice
		closed bool
	}
}

func newSplices() *splices {
	s := &splices{}
	s.mu.all = map[string]*splice{}
	return s
}

func (s *splices) add(one *splice) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return false
	}
	s.mu.all[one.inner.LocalAddr().String()] = one
	return true
}

func (s *splices) remove(one *splice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := one.inner.LocalAddr().String(); s.mu.all[at] == one {
		delete(s.mu.all, at)
	}
}

func (s *splices) identify(from string, v vetted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one, ok := s.mu.all[from]; ok && one.peer.CompareAndSwap(nil, &v) {
		close(one.known)
	}
}

func (s *splices) list() []*splice {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*splice, 0, len(s.mu.all))
	for _, one := range s.mu.all {
		out = append(out, one)
	}
	return out
}

func (s *splices) close() {
	s.mu.Lock()
	s.mu.closed = true
	s.mu.Unlock()
	for _, one := range s.list() {
		one.kill()
	}
}

// splice connects the caller to the server behind, with what was read of it
// said again, until either ends. It calls leave once the server has let it in.
func (p *Port) splice(ctx context.Context, proto string, hello *helloConn, leave func()) {
	p.mu.Lock()
	at := p.mu.splices[proto]
	p.mu.Unlock()
	var d net.Dialer // not from our own address: the server is on loopback
	inner, err := d.DialContext(ctx, "tcp", at)
	if err != nil {
		p.cfg.Log.Error("the server behind the cluster port does not answer", "proto", proto, "error", err)
		p.refused(hello.Conn, proto, err)
		return
	}
	s := &splice{proto: proto, outer: hello.Conn, inner: inner, known: make(chan struct{})}
	if !p.splices.add(s) {
		s.kill()
		return
	}
	defer p.splices.remove(s)
	defer s.kill()
	if _, err := inner.Write(hello.seen); err != nil {
		p.refused(hello.Conn, proto, err)
		return
	}
	hello.seen = nil
	_ = s.outer.SetDeadline(time.Time{})
	ended := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{s.inner, s.outer}, {s.outer, s.inner}} {
		go func() {
			pour(way[0], way[1], s.kill)
			ended <- struct{}{}
		}()
	}
	left := p.await(ctx, s, ended, leave)
	for range left {
		<-ended
	}
}

// await waits for the server behind to let the peer in, cuts it off if that
// takes too long, and returns how many ways are still to end.
func (p *Port) await(ctx context.Context, s *splice, ended <-chan struct{}, leave func()) int {
	left := 2
	for {
		select {
		case <-s.known:
			p.metrics.handshakes.WithLabelValues(handshakeOK).Inc()
			leave()
			return left
		case <-ended:
			if left--; left == 0 {
				p.metrics.handshakes.WithLabelValues(handshakeFailed).Inc()
				return 0
			}
		case <-ctx.Done():
			p.refused(s.outer, s.proto, ctx.Err())
			s.kill()
			return left
		}
	}
}

// pour copies one way to its end and passes the end on; a failure ends both ways.
func pour(to, from net.Conn, kill func()) {
	if _, err := io.Copy(to, from); err != nil {
		kill()
		return
	}
	if half, ok := to.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		kill()
	}
}
