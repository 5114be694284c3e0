package transport

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A Peer is the node at the other end, by its certificate.
type Peer struct {
	ID      spec.NodeID
	Roles   []spec.Role
	Serial  string    // of the certificate, hex; see pki.MarkOf
	Until   time.Time // the certificate is good, by the port's clock
	Expired bool      // the certificate's time is over; all else is in order
}

type peerKey struct{}

// PeerOf returns whose certificate the request came with. ok is false on join,
// and for requests that came by no Port.
func PeerOf(r *http.Request) (p Peer, ok bool) {
	p, ok = r.Context().Value(peerKey{}).(Peer)
	return p, ok
}

// WithPeer returns a context whose requests PeerOf takes as p's: for handlers'
// tests, and for a node that calls its own handler.
func WithPeer(ctx context.Context, p Peer) context.Context {
	return context.WithValue(ctx, peerKey{}, p)
}

// PeerOfConn returns the peer of a connection of Listener or Dial.
func PeerOfConn(c net.Conn) (p Peer, ok bool) {
	our, ok := c.(*conn)
	if !ok || our.peer == nil {
		return Peer{}, false
	}
	return our.peer.at(our.port.cfg.Clock()), true
}

// RequireRole serves next to peers whose certificate gives them one of the roles.
// Others are answered with status 403 and the error as JSON.
func RequireRole(next http.Handler, roles ...spec.Role) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, ok := PeerOf(r)
		if !ok {
			refuse(w, spec.Errorf(spec.CodeForbidden, "The connection has no node's certificate."))
			return
		}
		for _, role := range p.Roles {
			if slices.Contains(roles, role) {
				next.ServeHTTP(w, r)
				return
			}
		}
		refuse(w, spec.Errorf(spec.CodeForbidden, "Node %s may not ask this: it has the roles %v, and one of %v is needed.", p.ID, p.Roles, roles))
	})
}

func refuse(w http.ResponseWriter, e *spec.Error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Code.Lookup().Status)
	_ = json.NewEncoder(w).Encode(struct {
		Code    spec.Code `json:"code"`
		Message string    `json:"message"`
	}{e.Code, e.Message})
}
