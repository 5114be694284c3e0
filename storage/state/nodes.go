package state

import (
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

const (
	active   = wire.NodeState_NODE_STATE_ACTIVE
	draining = wire.NodeState_NODE_STATE_DRAINING
	removed  = wire.NodeState_NODE_STATE_REMOVED
)

// putNode writes a node's record. A removed node comes back only by joining
// again, which its joined_ms tells. A record without a state keeps the one it has.
func (t *tx) putNode(n *wire.Node) *wire.Result {
	if err := spec.NodeID(n.GetId()).Valid(); err != nil {
		return refuse(spec.CodeInvalidRequest, "%v", err)
	}
	for _, r := range n.GetRoles() {
		if !spec.ValidRole(spec.Role(r)) {
			return refuse(spec.CodeInvalidRequest, "node %s: there is no role %q", n.GetId(), r)
		}
	}
	old, exists := nodes.get(t.view, n.GetId())
	if old.GetState() == removed && n.GetJoinedMs() <= old.GetJoinedMs() {
		return refuse(spec.CodeNodeRemoved, "node %s was removed from the cluster", n.GetId())
	}
	if n.GetJoinedMs() == 0 {
		if n.JoinedMs = old.GetJoinedMs(); !exists {
			n.JoinedMs = t.at
		}
	}
	switch n.GetState() {
	case active, draining:
	case removed:
		t.dropPlacementsOn(n.GetId())
	case wire.NodeState_NODE_STATE_UNSPECIFIED:
		if n.State = old.GetState(); !exists || n.State == removed {
			n.State = active
		}
	default:
		return refuse(spec.CodeInvalidRequest, "node %s: there is no state %d", n.GetId(), n.GetState())
	}
	nodes.put(t, n, old, exists)
	return done(0)
}

// setNodeState changes what a node may do. Removal takes its placements along
// and is undone by joining again alone.
func (t *tx) setNodeState(c *wire.SetNodeState) *wire.Result {
	n, ok := nodes.get(t.view, c.GetId())
	switch wanted := c.GetState(); {
	case !ok:
		return refuse(spec.CodeNotFound, "there is no node %q", c.GetId())
	case wanted != active && wanted != draining && wanted != removed:
		return refuse(spec.CodeInvalidRequest, "node %s: there is no state %d to set", c.GetId(), wanted)
	case n.GetState() == wanted:
		return done(0)
	case n.GetState() == removed:
		return refuse(spec.CodeNodeRemoved, "node %s was removed from the cluster", c.GetId())
	case wanted == removed:
		t.dropPlacementsOn(c.GetId())
	}
	n.State = c.GetState()
	nodes.put(t, n, n, true)
	return done(0)
}

// dropPlacementsOn removes what is placed on a node.
func (t *tx) dropPlacementsOn(node string) {
	for _, id := range t.named(indexKey(byNode, node, "")) {
		if p, ok := placements.get(t.view, id); ok {
			placements.drop(t, p)
		}
	}
}
