package gateway

import (
	"crypto/tls"
	"net"
	"os"
	"time"

	"github.com/valyala/fasthttp"
)

// A detached connection is one that the server lets go of while a stream passes on it, so that its
// reader, writer and context, 22 KB together, serve others, and so does the goroutine whose stack
// has grown. One after the other see to that:
//
//   - the handler, which says what is to be run (detach);
//   - the server's hijack handler, which takes from the reader what the client has sent ahead. The server
//     keeps that then, and the context; it closes the connection too, which is let pass by;
//   - a goroutine that begins once the connection's own is back from the server: it runs it (apart), with
//     no larger a stack than that takes, and has the connection served on by one whose stack has grown. The
//     crowd waits for both.
type detached struct {
	pass func(net.Conn) (keep bool)
	rest []byte        // that was sent ahead
	let  chan struct{} // closed when the server's reader is not needed any more
}

// detach is relay.Config's.
func (g *Gateway) detach(ctx *fasthttp.RequestCtx, pass func(net.Conn) (keep bool)) bool {
	one := below(ctx.Conn())
	if one == nil {
		return false
	}
	d := &detached{pass: pass, let: make(chan struct{})}
	one.apart = d
	ctx.HijackSetNoResponse(true)
	ctx.Hijack(func(from net.Conn) {
		one.dry = true
		var b [512]byte
		for {
			n, err := from.Read(b[:])
			if d.rest = append(d.rest, b[:n]...); err != nil {
				break
			}
		}
		one.dry = false
		one.letGo.Add(1)
		close(d.let)
	})
	return true
}

// connState notes that a request begins on a connection, that it waits for its next, or that the server is done with it.
func (g *Gateway) connState(c net.Conn, s fasthttp.ConnState) {
	switch s {
	case fasthttp.StateActive:
		g.crowd.asked.Add(1)
	case fasthttp.StateIdle:
		busy(c, false)
	case fasthttp.StateHijacked:
		if one := below(c); one != nil && one.apart != nil {
			go g.apart(c, one)
		}
	case fasthttp.StateClosed:
		if one := below(c); one != nil && one.apart != nil { // lost before it could be let go of
			d := one.apart
			one.apart = nil
			d.pass(nil)
		}
	}
}

// apart passes a stream on, and has the connection served until it is closed, or let go of once more.
func (g *Gateway) apart(c net.Conn, one *conn) {
	d := one.apart
	one.apart = nil
	keep := d.pass(c)
	<-d.let
	if !keep || g.listening.ended() {
		_ = c.Close()
		return
	}
	_ = c.SetWriteDeadline(time.Time{}) // that of the stream: the server writes some answers without one of its own
	busy(c, false)
	c, sent := sentAhead(c, d.rest)
	one.fresh, one.again = !sent, true
	g.relay.Go(func() { _ = g.server.ServeConn(c) })
}

// An ahead is a connection on which a client has sent a request before it had its answer.
type ahead struct {
	net.Conn
	rest []byte
}

// sentAhead is the connection with what was sent ahead on it, if anything was: first what the server had
// read, then what it had not yet taken of what was sent ahead of an earlier stream.
func sentAhead(c net.Conn, read []byte) (net.Conn, bool) {
	switch was := c.(type) {
	case *ahead:
		c, read = was.Conn, append(read, was.rest...)
	case *aheadSecure:
		c, read = was.Conn, append(read, was.rest...)
	}
	if len(read) == 0 {
		return c, false
	}
	if s, ok := c.(*secure); ok {
		return &aheadSecure{ahead{s, read}, s}, true
	}
	return &ahead{c, read}, true
}

// Read implements net.Conn.
func (a *ahead) Read(p []byte) (int, error) {
	if len(a.rest) > 0 && !below(a.Conn).dry {
		n := copy(p, a.rest)
		a.rest = a.rest[n:]
		return n, nil
	}
	return a.Conn.Read(p)
}

// NetConn is the connection below.
func (a *ahead) NetConn() net.Conn { return below(a.Conn) }

// An aheadSecure is one by TLS, which the server is to see that it is.
type aheadSecure struct {
	ahead
	tls *secure
}

// Handshake is over.
func (a *aheadSecure) Handshake() error { return a.tls.Handshake() }

// ConnectionState tells what was agreed on.
func (a *aheadSecure) ConnectionState() tls.ConnectionState { return a.tls.ConnectionState() }

// errDry ends a read for more than has come. It is one that TLS gets over.
var errDry = os.ErrDeadlineExceeded
