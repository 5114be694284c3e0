package node

import (
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage/state"
)

// startUpkeep keeps the node's own record true, obeys it, and renews its certificate.
func (n *Node) startUpkeep(context.Context) error {
	n.background("readiness", n.awaitReady)
	n.background("own record", n.keepRecord)
	n.background("certificate", n.renewCertificate)
	return nil
}

// keepRecord makes the record say what this process is, ends a drain that was
// begun before this start, and then follows what the record says.
func (n *Node) keepRecord(ctx context.Context) {
	changed := make(chan struct{}, 1)
	cancel := n.state.Subscribe(func(c state.Change) {
		if c.Reset || slices.Contains(c.Records, state.Ref{Kind: state.KindNode, ID: string(n.id)}) {
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	})
	defer cancel()
	if !n.announce(ctx) {
		return
	}
	draining := false
	for {
		if r, ok := n.state.Node(string(n.id)); ok {
			draining = n.obey(ctx, draining, r.GetState())
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-time.After(5 * time.Second):
		}
	}
}

// announce writes what has changed of this node since it last ran, until it is written.
func (n *Node) announce(ctx context.Context) bool {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		if record, ok := n.state.Node(string(n.id)); ok && n.stateAge() < 2*time.Second {
			next := n.described(record)
			if proto.Equal(next, record) {
				return true
			}
			limit, cancel := context.WithTimeout(ctx, 5*time.Second)
			err := n.write(limit, &wire.Command{Body: &wire.Command_PutNode{PutNode: &wire.PutNode{Node: next}}})
			cancel()
			if err != nil {
				n.log.Warn("the node's own record was not written; trying again", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(wait):
		}
	}
}

// described is the record with what this process knows better.
func (n *Node) described(record *wire.Node) *wire.Node {
	next := proto.CloneOf(record)
	now := nodeRecord(n.config, n.version)
	next.Region, next.Zone, next.ClusterAddr, next.ApiAddr = now.Region, now.Zone, n.port.Addr(), now.ApiAddr
	next.Build, next.Level = now.Build, now.Level
	next.CertSerial, next.CertExpiresMs = n.identity.Leaf().SerialNumber.Text(16), n.identity.Leaf().NotAfter.UnixMilli()
	if next.State == wire.NodeState_NODE_STATE_DRAINING {
		next.State = wire.NodeState_NODE_STATE_ACTIVE // a restart ends a drain
	}
	return next
}

// obey carries a drain, or its end, out on this node.
func (n *Node) obey(ctx context.Context, draining bool, wanted wire.NodeState) bool {
	drain := wanted != wire.NodeState_NODE_STATE_ACTIVE
	if drain == draining {
		return draining
	}
	n.log.Info("own record", "state", stateName(wanted))
	if !drain {
		if n.actors != nil {
			n.actors.ResumeAll(ctx)
		}
		if n.gateway != nil {
			n.gateway.EndDrain()
		}
		return false
	}
	if n.gateway != nil {
		n.gateway.StartDrain()
	}
	if n.actors != nil {
		n.actors.DrainAll(ctx)
	}
	if n.raft != nil && n.raft.IsLeader() && len(n.raft.Voters()) > 1 {
		if err := n.raft.TransferLeadership(ctx); err != nil {
			n.log.Warn("leadership was not handed over", "error", err)
		}
	}
	return true
}
