package transport

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

const (
	maxStreams     = 1000      // at a time, per connection
	maxFrame       = 256 << 10 // bytes; model chunks are large
	maxHeader      = 64 << 10
	receiveBuffer  = 4<<20 - 1 // the most that net/http takes
	serverPing     = 5 * time.Second
	serverStalled  = 15 * time.Second
	maxIdleClients = 60 * time.Second // only clients close idle connections: a server would race with requests
)

func onlyHTTP2() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true) // to net/http, that is: our connections are TLS inside
	return p
}

// newServer serves every HTTP protocol; each connection knows its own.
func (p *Port) newServer() *http.Server {
	return &http.Server{
		Handler: http.HandlerFunc(p.serve), Protocols: onlyHTTP2(), MaxHeaderBytes: maxHeader,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, MaxReadFrameSize: maxFrame, MaxReceiveBufferPerConnection: receiveBuffer,
			SendPingTimeout: serverPing, PingTimeout: serverPing, WriteByteTimeout: serverStalled,
		},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
		ErrorLog: slog.NewLogLogger(p.cfg.Log.Handler(), slog.LevelDebug),
	}
}

type connKey struct{}

// serve finds the handler of the connection's protocol, and asks again whether
// the peer is let in: it may have been removed since the handshake.
func (p *Port) serve(w http.ResponseWriter, r *http.Request) {
	c, ok := r.Context().Value(connKey{}).(*conn)
	if !ok {
		refuse(w, spec.Errorf(spec.CodeInternal, "The connection is not one of the cluster port."))
		return
	}
	p.mu.Lock()
	h := p.mu.handlers[c.proto]
	if p.mu.closed || h == nil {
		p.mu.Unlock()
		refuse(w, spec.Errorf(spec.CodeNotFound, "This node does not serve %s.", c.proto))
		return
	}
	p.handling.Add(1)
	p.mu.Unlock()
	defer p.handling.Done()
	if c.peer != nil {
		peer := c.peer.at(p.cfg.Clock())
		if err := p.admit(peer, c.proto); err != nil {
			refuse(w, &spec.Error{Code: spec.CodeForbidden, Message: "Node " + string(peer.ID) + " is not let in: " + err.Error() + "."})
			return
		}
		r = r.WithContext(WithPeer(r.Context(), peer))
	}
	h.ServeHTTP(w, r)
}
