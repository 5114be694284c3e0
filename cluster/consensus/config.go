package consensus

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A Port is the cluster port: raw streams for Raft, and HTTP clients whose host
// is a node's id. The clients must tell httptrace when they write a request: what
// was never written has no effect, and anything else may have.
type Port interface {
	Addr() string // host:port that other nodes reach this one at
	Listener(proto string) net.Listener
	Dial(ctx context.Context, proto, addr string) (net.Conn, error)
	Client(proto string) *http.Client
}

// An FSM is the state machine. Index is the index of the last entry that it has
// taken in, and rises before the entry's proposer is answered; entries that Raft
// keeps to itself do not raise it.
type FSM interface {
	raft.FSM
	Index() uint64
}

// Config is what a Raft server needs.
type Config struct {
	ID        spec.NodeID
	Port      Port
	Logs      raft.LogStore
	Stable    raft.StableStore
	Snapshots raft.SnapshotStore
	FSM       FSM
	Nodes     func() []*wire.Node    // the state's records of nodes
	Alive     func(spec.NodeID) bool // and able to be a server; nil: all are

	// Address is where a node is now, if that is known better than from its
	// record: one that comes back at another address cannot change its record
	// before a leader has found it. May be nil.
	Address func(spec.NodeID) (string, bool)

	// Needs is the feature level of the newest command that the state machine has
	// applied. Nil: 1.
	Needs func() uint64

	// MostVoters is how many servers may vote at most: 1, 3 or 5, and the same
	// whoever leads. Nil: 5.
	MostVoters func() int

	// Calm is how long nobody must have come, gone, died or returned before voters
	// are exchanged only to stand better. 0: 10 s.
	Calm time.Duration

	// Authorise says why the peer may not propose the command, or nil. Without
	// it, every peer that the port lets in may propose anything.
	Authorise func(r *http.Request, c *wire.Command) error

	// Heartbeat is how long a follower waits for its leader before it looks for
	// another: shorter finds a dead leader sooner, longer survives slower links
	// and busier machines. 0: 500 ms, with which another leads within a second. The
	// way of a message must take less than a fifth.
	Heartbeat time.Duration

	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Level is the feature level up to which this build can apply commands.
const Level = wire.Level

const (
	defaultHeartbeat = 500 * time.Millisecond
	rpcTimeout       = 2 * time.Second // of one Raft message, and of reaching a peer
	snapshotPace     = 64 << 10        // bytes of a snapshot that add one rpcTimeout to its limit
	pooled           = 3               // idle Raft connections per peer
	defaultVoters    = 5
	defaultCalm      = 10 * time.Second
	deadAfter        = 30 * time.Second // a dead voter keeps its place so long
)

func (c *Config) fill() {
	if c.Alive == nil {
		c.Alive = func(spec.NodeID) bool { return true }
	}
	if c.MostVoters == nil {
		c.MostVoters = func() int { return defaultVoters }
	}
	if c.Calm <= 0 {
		c.Calm = defaultCalm
	}
	if c.Heartbeat <= 0 {
		c.Heartbeat = defaultHeartbeat
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// raftConfig differs from raft's defaults in timing, and in what the state
// machine does for itself: it is on disk, so no snapshot is restored on start.
func (c *Config) raftConfig() *raft.Config {
	r := raft.DefaultConfig()
	r.LocalID = raft.ServerID(c.ID)
	r.HeartbeatTimeout, r.ElectionTimeout = c.Heartbeat, c.Heartbeat
	r.LeaderLeaseTimeout = c.lease()
	r.NoSnapshotRestoreOnStart = true
	r.NoLegacyTelemetry = true
	r.ShutdownOnRemove = false // a removed server may be taken in again
	r.Logger = newRaftLog(c.Log)
	return r
}

// lease is how long a leader that hears from no quorum still leads. It is below
// the heartbeat timeout, so that it has stepped down before another is elected.
func (c *Config) lease() time.Duration { return c.Heartbeat * 4 / 5 }
