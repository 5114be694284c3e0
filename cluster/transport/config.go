package transport

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
)

// Config is what a Port is opened with.
type Config struct {
	// Listen is the host:port to listen on; port 0 takes a free one. If the host
	// is an address of one interface, connections to others leave from it too.
	Listen string
	// Advertise is the host:port that others dial; empty: that of Listen. Port 0
	// is replaced by the one listened on.
	Advertise string
	Identity  *pki.Identity // with a certificate installed
	// Resolve tells where a node's cluster port is.
	Resolve func(spec.NodeID) (addr string, ok bool)
	// Admit tells why a peer with a good certificate, whichever side dialled, may
	// not speak this protocol; nil: everybody may. It is called often and must be fast.
	Admit func(p Peer, proto string) error

	Clock      func() time.Time // nil: time.Now; certificates are judged by it
	Log        *slog.Logger     // nil: none
	Registerer prometheus.Registerer
}

// The names of ALPN that have a rule of their own.
const (
	protoJoin  = "join"  // the client has no certificate yet
	protoActor = "actor" // gRPC, which insists on h2: the client offers both
	protoH2    = "h2"
	protoBulk  = "chunks" // moves much: see conn.Flush
)

// limits bound what peers can make a port do before and after they are known.
type limits struct {
	handshakes       int           // at a time, in all
	handshakesFrom   int           // at a time, from one address
	handshakeTimeout time.Duration // from accept to the end of the handshake
	joins            int           // connections of join at a time: their peers are unknown
	joinLife         time.Duration // of one connection of join
	backlog          int           // raw connections that wait for Accept, per protocol
	dialTimeout      time.Duration // TCP and TLS together
	closeTimeout     time.Duration // for handlers to end at Close
	recheck          time.Duration // between two looks at whether standing connections are still admitted
	pingAfter        time.Duration // of silence on a client's connection
	pingTimeout      time.Duration
}

// defaultLimits notice a dead peer in pingAfter + pingTimeout = 2.5 s.
var defaultLimits = limits{
	handshakes: 256, handshakesFrom: 64, handshakeTimeout: 5 * time.Second,
	joins: 64, joinLife: 30 * time.Second, backlog: 64,
	dialTimeout: 3 * time.Second, closeTimeout: 5 * time.Second, recheck: time.Second,
	pingAfter: time.Second, pingTimeout: 1500 * time.Millisecond,
}
