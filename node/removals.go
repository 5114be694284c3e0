package node

import (
	"slices"
	"sync/atomic"

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
