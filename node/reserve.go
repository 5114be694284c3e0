package node

import "github.com/lotabots/lotabots/cluster/spec"

// reserve tells the actor of target's instance what waits for it at this node's
// gateway. It does not block: what cannot be told is told anew before long.
func (n *Node) reserve(target spec.Target, r spec.Reservation) {
	if target.Node == n.id && n.actors != nil {
		r.Gateway = n.id
		n.actors.Reserve(target.Device, r)
		return
	}
	n.talk.Reserve(target, r)
}

// granted brings a place that an actor of this node keeps to its gateway. One that
// cannot be reached does not take it, and it expires.
func (n *Node) granted(l spec.Lease) {
	if l.Gateway != n.id {
		n.lines.Grant(l)
		return
	}
	n.grantedBy(n.id, l)
}

// grantedBy brings a place that an actor of node keeps to this node's gateway.
func (n *Node) grantedBy(node spec.NodeID, l spec.Lease) {
	if g := n.routing.Load(); g != nil {
		g.Table().Granted(node, l)
	}
}
