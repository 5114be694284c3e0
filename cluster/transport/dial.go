package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Dial opens a raw connection of proto to the port at addr (host:port), whichever
// member that is: see PeerOfConn. It ends with ctx, or after three seconds.
func (p *Port) Dial(ctx context.Context, proto, addr string) (net.Conn, error) {
	c, err := p.dial(ctx, proto, addr, "", false)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// dial opens a connection to the member at addr which, if id is given, must be that one.
func (p *Port) dial(ctx context.Context, proto, addr string, id spec.NodeID, pooled bool) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, p.limits.dialTimeout)
	defer cancel()
	stop := context.AfterFunc(p.life, cancel)
	defer stop()
	raw, err := p.dialer().DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("dialling %s: %w", proto, err)
	}
	c := &conn{port: p, proto: proto, outgoing: true, pooled: pooled}
	c.tls = tls.Client(raw, p.clientTLS(proto, id, func(v vetted) { c.peer = &v }))
	c.Conn = c.tls
	if err := c.tls.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("the handshake for %s with %s: %w", proto, addr, err)
	}
	if !p.standing.add(c, 0) {
		c.kill()
		return nil, net.ErrClosed
	}
	return c, nil
}

// Connect makes a bare TCP connection to another node's cluster port, for a
// protocol that does its own TLS by ClientTLS.
func (p *Port) Connect(ctx context.Context, addr string) (net.Conn, error) {
	return p.dialer().DialContext(ctx, "tcp", addr)
}

// dialer leaves from the address that the port listens on, so that the two ends
// of a link are told apart by address in both directions.
func (p *Port) dialer() *net.Dialer {
	d := &net.Dialer{}
	if p.from != nil {
		d.LocalAddr = &net.TCPAddr{IP: p.from}
	}
	return d
}
