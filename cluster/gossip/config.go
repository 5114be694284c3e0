package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/cluster/spec"
)

// proto is the protocol's name on the cluster port.
const proto = "gossip"

// keySize is that of AES-256.
const keySize = 32

// A Port is the cluster port. What it gives stays its own, but for the
// connections and the listener.
type Port interface {
	Addr() string // advertised host:port
	Dial(ctx context.Context, proto, addr string) (net.Conn, error)
	Listener(proto string) net.Listener
	Packets() net.PacketConn
}

// Config of a Gossip. ID, Port and Key are needed.
type Config struct {
	ID     spec.NodeID
	Roles  []spec.Role
	Region string
	Zone   string
	Build  string
	Level  uint32 // feature level of the build
	API    string // host:port for clients; empty: none

	Port  Port
	Key   []byte // 32 bytes, the same on every member
	Label string // the cluster's id: packets of another cluster are dropped unread

	PeersFile string          // where peers are remembered over restarts; empty: nowhere
	Seeds     []string        // host:port of members to find the cluster by
	Known     func() []string // addresses that the state knows; nil: none
	Rejoin    time.Duration   // between two looks for lost members; 0: 15 s

	// Barred tells of an id that is no member any more, though it has the key: it
	// does not come to life, and its digests are dropped. nil: nobody is. It is
	// called often and must be fast.
	Barred func(spec.NodeID) bool

	Log        *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: none

	tune func(*memberlist.Config) // for tests: other timings
}

func (c *Config) check() error {
	if err := c.ID.Valid(); err != nil {
		return err
	}
	if c.Port == nil {
		return errors.New("gossip needs the cluster port")
	}
	if len(c.Key) != keySize {
		return fmt.Errorf("the gossip key has %d bytes, want %d", len(c.Key), keySize)
	}
	if len(c.Label) > memberlist.LabelMaxSize {
		return fmt.Errorf("the label has %d bytes, want at most %d", len(c.Label), memberlist.LabelMaxSize)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Known == nil {
		c.Known = func() []string { return nil }
	}
	if c.Barred == nil {
		c.Barred = func(spec.NodeID) bool { return false }
	}
	if c.Rejoin <= 0 {
		c.Rejoin = 15 * time.Second
	}
	return nil
}

// Timings, chosen together. A probe must leave room for a member that is asked
// to probe too: it says after probeTimeout that it heard nothing, and if that
// comes too late the prober holds itself for the one that is slow.
//
// A killed process is probed within the first second, suspected 0.4 s later and
// dead after 1.2 s more once a second member agrees, 2.4 s if none does.
// A process that was stopped for less refutes in time; one that was stopped for
// longer is dead to the others and alive again as soon as it says so.
const (
	probeInterval     = 400 * time.Millisecond
	probeTimeout      = 180 * time.Millisecond
	suspicionMult     = 3
	suspicionMaxMult  = 2
	awarenessMax      = 2 // a starved node probes at half the rate, never slower
	gossipInterval    = 100 * time.Millisecond
	pushPullInterval  = 10 * time.Second // also heals a member that came back at another address
	streamTimeout     = 5 * time.Second
	reclaimAfter      = time.Second // a dead member may come back at another address after this
	gossipToTheDead   = 30 * time.Second
	packetSize        = 1400
	digestQueue       = 1024
	maxPeers          = 64 // remembered
	maxTries          = 16 // addresses tried in one round of rejoining
	resolveTimeout    = 3 * time.Second
	lonelyPause       = time.Second     // between two rounds while nobody is there
	lostPause         = 2 * time.Second // while somebody was lost lately
	lostRecently      = 2 * time.Minute
	peersPause        = time.Second // between two writes of the peers' file
	logLinesPerSecond = 20
)

// memberlist is the library's configuration.
func (c *Config) memberlist() *memberlist.Config {
	m := memberlist.DefaultLANConfig()
	m.Name = string(c.ID)
	m.Label = c.Label
	m.SecretKey = c.Key
	m.GossipVerifyIncoming, m.GossipVerifyOutgoing = true, true
	m.EnableCompression = false // digests do not shrink, and a packet that unpacks to megabytes is no risk to take
	m.ProbeInterval, m.ProbeTimeout = probeInterval, probeTimeout
	m.SuspicionMult, m.SuspicionMaxTimeoutMult = suspicionMult, suspicionMaxMult
	m.AwarenessMaxMultiplier = awarenessMax
	m.GossipInterval, m.PushPullInterval = gossipInterval, pushPullInterval
	m.GossipToTheDeadTime, m.DeadNodeReclaimTime = gossipToTheDead, reclaimAfter
	m.TCPTimeout = streamTimeout
	m.UDPBufferSize = packetSize
	m.DelegateProtocolMin, m.DelegateProtocolMax, m.DelegateProtocolVersion = 1, 1, 1
	if c.tune != nil {
		c.tune(m)
	}
	return m
}
