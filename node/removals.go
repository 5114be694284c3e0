package node

import (
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/lotabots/lotabots/cluster/consensus"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage/state"
)

// removals knows which nodes were removed from the cluster. Gossip asks it of
// every packet: such a node has the gossip key still.
type removals struct {
	ids atomic.Pointer[map[spec.NodeID]bool]
}

// removed tells whether the node was removed and has not joined again.
func (r *removals) removed(id spec.NodeID) bool {
	ids := r.ids.Load()
	return ids != nil && (*ids)[id]
}

// follow takes over what an applied entry changed, and tells whether that was the
// record of any node. Changes come one at a time.
func (r *removals) follow(c state.Change, nodes func() []*wire.Node) bool {
	if !c.Reset && !slices.ContainsFunc(c.Records, func(ref state.Ref) bool { return ref.Kind == state.KindNode }) {
		return false
	}
	ids := map[spec.NodeID]bool{}
	for _, n := range nodes() {
		if n.GetState() == wire.NodeState_NODE_STATE_REMOVED {
			ids[spec.NodeID(n.GetId())] = true
		}
	}
	r.ids.Store(&ids)
	return true
}

// gone tells whether the node was removed with the certificate of that serial
// number. It is for good: whoever joins again gets another one. So a node that
// catches up on its id's history, in which an earlier one was removed, is not gone.
func gone(record *wire.Node, serial string) bool {
	return record.GetState() == wire.NodeState_NODE_STATE_REMOVED && serial != "" && record.GetCertSerial() == serial
}

// serial is the number of this node's certificate, as its record has it.
func (n *Node) serial() string { return n.identity.Leaf().SerialNumber.Text(16) }

// removedBy is why this node must not go on, where its own state says that it was
// removed. Raft is nil where it does not run.
func (n *Node) removedBy(raft *consensus.Consensus) error {
	alone := raft != nil && slices.Equal(raft.Voters(), []spec.NodeID{n.id})
	if alone || !givenUp(n.state.Nodes(), n.id, n.serial()) {
		return nil
	}
	return removedError(n.id, "its own state says so")
}

// givenUp tells whether the node is gone and others remain. The last that can vote
// goes on: there is no cluster without it, and older builds let it be removed.
func givenUp(nodes []*wire.Node, id spec.NodeID, serial string) bool {
	left, remains := false, false
	for _, r := range nodes {
		left = left || r.GetId() == string(id) && gone(r, serial)
		remains = remains || hasRole(r, spec.RoleVoter) && r.GetState() != wire.NodeState_NODE_STATE_REMOVED
	}
	return left && remains
}

func removedError(id spec.NodeID, how string) error {
	return &spec.Error{
		Code:    spec.CodeNodeRemoved,
		Message: fmt.Sprintf("Node %s was removed from the cluster: %s. It must not serve or vote any more, and does not start.", id, how),
		Hint: "Move the data directory away, make a join token on a member (lotabots tokens create), and join again with lotabots join. " +
			"If this machine is to be no member any more, disable its service",
	}
}
