package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"
)

func (p *Port) accept() {
	for {
		c, err := p.tcp.Accept()
		if err != nil {
			if p.life.Err() != nil {
				return
			}
			p.cfg.Log.Error("the cluster port cannot accept", "error", err) // out of descriptors, say
			select {
			case <-time.After(50 * time.Millisecond):
			case <-p.life.Done():
			}
			continue
		}
		leave := p.gate.enter(c.RemoteAddr())
		if leave == nil {
			p.metrics.handshakes.WithLabelValues(handshakeOverloaded).Inc()
			_ = c.Close()
			continue
		}
		p.work.Go(func() {
			defer leave()
			p.receive(c, leave)
		})
	}
}

// noProtocol makes crypto/tls tell the caller that nobody serves what it offers.
var noProtocol = &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"none"}}

// errSplice ends a handshake of ours that is another server's.
var errSplice = errors.New("handed over")

// receive makes the handshake and gives the connection to whom it is for. It
// calls leave once the peer is known.
func (p *Port) receive(c net.Conn, leave func()) {
	ctx, cancel := context.WithTimeout(p.life, p.limits.handshakeTimeout)
	defer cancel()
	_ = c.SetDeadline(time.Now().Add(p.limits.handshakeTimeout))
	hello := &helloConn{Conn: c}
	var proto string
	var peer *vetted
	secured := tls.Server(hello, &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			var spliced bool
			if proto, spliced = p.choose(h.SupportedProtos); proto == "" {
				return noProtocol, nil
			}
			if spliced {
				hello.mute = true
				return nil, errSplice
			}
			hello.seen, hello.heard = nil, true
			return p.serverTLS(proto, func(v vetted) { peer = &v }), nil
		},
	})
	err := secured.HandshakeContext(ctx)
	switch {
	case errors.Is(err, errSplice):
		p.splice(ctx, proto, hello, leave)
	case err != nil:
		p.refused(c, proto, err)
	default:
		p.metrics.handshakes.WithLabelValues(handshakeOK).Inc()
		_ = c.SetDeadline(time.Time{})
		leave()
		made := &conn{Conn: secured, tls: secured, port: p, proto: proto, peer: peer}
		if proto == protoBulk {
			made.bulk = newBulk(c)
			hello.bulk = made.bulk
			made.bulk.cork()
		}
		p.deliver(made)
	}
}

// refused closes a connection that did not come to be, and says so now and then.
func (p *Port) refused(c net.Conn, proto string, err error) {
	_ = c.Close()
	p.metrics.handshakes.WithLabelValues(handshakeFailed).Inc()
	if p.life.Err() == nil && !errors.Is(err, io.EOF) && p.told.pass() {
		p.cfg.Log.Warn("a connection to the cluster port was refused", "from", c.RemoteAddr().String(), "proto", proto, "error", err)
	}
}

// choose is the first protocol offered that is served here.
func (p *Port) choose(offered []string) (proto string, spliced bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range offered {
		if _, ok := p.mu.splices[name]; ok {
			return name, true
		}
		if p.mu.handlers[name] != nil {
			return name, false
		}
		if l, ok := p.mu.raw[name]; ok && !l.isClosed() {
			return name, false
		}
	}
	return "", false
}

// deliver gives a connection whose peer is let in to those who serve its protocol.
func (p *Port) deliver(c *conn) {
	p.mu.Lock()
	to := p.mu.raw[c.proto]
	if p.mu.handlers[c.proto] != nil {
		to = p.incoming
	}
	p.mu.Unlock()
	c.pooled = to == p.incoming
	if c.peer == nil { // a stranger's connection does not stand long, whatever it does
		c.ending = time.AfterFunc(p.limits.joinLife, c.kill)
	}
	if to == nil || !p.standing.add(c, p.limits.joins) {
		c.kill()
		return
	}
	if c.pooled { // net/http lifts the deadline once HTTP/2 has begun
		_ = c.SetReadDeadline(time.Now().Add(p.limits.handshakeTimeout))
	}
	if !to.give(c, p.limits.handshakeTimeout) {
		p.cfg.Log.Warn("nobody took a connection of the cluster port", "proto", c.proto)
		c.kill()
		c.forget()
	}
}

// recheck ends connections whose peers would not be let in any more.
func (p *Port) recheck() {
	tick := time.NewTicker(p.limits.recheck)
	defer tick.Stop()
	for {
		select {
		case <-p.life.Done():
			return
		case <-tick.C:
		case <-p.look:
		}
		now := p.cfg.Clock()
		for _, c := range p.standing.list(func(c *conn) bool { return c.peer != nil }) {
			peer := c.peer.at(now)
			if err := p.admit(peer, c.proto); err != nil {
				p.cfg.Log.Warn("a connection was ended", "peer", peer.ID, "proto", c.proto, "error", err)
				c.kill()
				if !c.pooled { // its owner may be long in closing it
					c.forget()
				}
			}
		}
		for _, s := range p.splices.list() {
			if v := s.peer.Load(); v != nil && p.admit(v.at(now), s.proto) != nil {
				s.kill()
			}
		}
	}
}

// A helloConn keeps what is read until the ClientHello is understood, so that it
// can be said again to somebody else.
type helloConn struct {
	net.Conn
	seen  []byte // at most what crypto/tls takes for a ClientHello and one read more
	heard bool   // keep no more
	mute  bool   // swallow what crypto/tls would answer
	bulk  *bulk  // nil: none; what is read and written goes through it, after the handshake
}

func (h *helloConn) Read(b []byte) (int, error) {
	if h.bulk != nil {
		return h.bulk.Read(b)
	}
	n, err := h.Conn.Read(b)
	if !h.heard {
		h.seen = append(h.seen, b[:n]...)
	}
	return n, err
}

func (h *helloConn) Write(b []byte) (int, error) {
	if h.bulk != nil {
		return h.bulk.Write(b)
	}
	if h.mute {
		return len(b), nil
	}
	return h.Conn.Write(b)
}
