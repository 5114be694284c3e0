package transport

import (
	"context"
	"crypto/tls"
	"errors"
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

// DialNode does so with a node, wherever it is, which must be that one. The error wraps
// ErrNotServed where the node is there and does not serve proto: its build may be older.
func (p *Port) DialNode(ctx context.Context, proto string, id spec.NodeID) (net.Conn, error) {
	at, ok := "", false
	if p.cfg.Resolve != nil {
		at, ok = p.cfg.Resolve(id)
	}
	if !ok {
		return nil, fmt.Errorf("node %s: %w", id, ErrUnknownNode)
	}
	c, err := p.dial(ctx, proto, at, id, false)
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", id, err)
	}
	return c, nil
}

// ErrNotServed is wrapped where the peer does not serve a protocol.
var ErrNotServed = errors.New("the peer does not serve the protocol")

// alertNoProtocol is how a peer says so (RFC 7301).
const alertNoProtocol tls.AlertError = 120

// notServed makes the peer's alert an ErrNotServed. crypto/tls exports no type for it.
func notServed(err error) error {
	var remote *net.OpError
	if errors.As(err, &remote) && remote.Op == "remote error" && remote.Err.Error() == alertNoProtocol.Error() {
		return fmt.Errorf("%w: %w", ErrNotServed, err)
	}
	return err
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
	under := raw
	if proto == protoBulk {
		c.bulk = newBulk(raw)
		under = c.bulk
	}
	c.tls = tls.Client(under, p.clientTLS(proto, id, func(v vetted) { c.peer = &v }))
	c.Conn = c.tls
	if err := c.tls.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("the handshake for %s with %s: %w", proto, addr, notServed(err))
	}
	if c.bulk != nil {
		c.bulk.cork()
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
