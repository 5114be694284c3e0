package node

import (
	"context"
	"errors"
	"time"

	"github.com/lotabots/lotabots/cluster/gossip"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/storage"
)

// diskEvery is how often a node looks whether its disk takes writes.
const diskEvery = 250 * time.Millisecond

// watchDisk tells the other nodes while this one's disk takes no writes.
func (n *Node) watchDisk(ctx context.Context) {
	tick := time.NewTicker(diskEvery)
	defer tick.Stop()
	told := gossip.Faultless
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := n.db.Health()
		now := faultOf(err)
		if now == told {
			continue
		}
		n.log.Warn("disk", "fault", now.String(), "error", err)
		if err := n.gossip.SetFault(now); err != nil { // they hear of it later
			n.log.Info("nobody was there to hear of the disk's state", "error", err)
		}
		told = now
	}
}

func faultOf(health error) gossip.Fault {
	switch {
	case health == nil:
		return gossip.Faultless
	case errors.Is(health, storage.ErrFailed):
		return gossip.DiskFailed
	default:
		return gossip.DiskStalled
	}
}

// fault is what a node cannot do though it lives: as it tells, or as this one knows.
func (n *Node) fault(id spec.NodeID) gossip.Fault {
	if id == n.id {
		return faultOf(n.db.Health())
	}
	return n.gossip.Fault(id)
}

// fit tells whether a node is there and can be a Raft server. One whose disk takes
// no writes lives and serves, and would answer the leader's heartbeats for ever
// without ever keeping an entry.
func (n *Node) fit(id spec.NodeID) bool {
	return n.gossip.Alive(id) && n.gossip.Fault(id) == gossip.Faultless
}
