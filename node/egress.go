package node

import (
	"net/netip"

	"github.com/lotabots/lotabots/actors/egress"
)

// egress is where engines that run elsewhere may be.
func (n *Node) egress() egress.Policy {
	p := egress.Policy{Cluster: n.ofCluster}
	for _, text := range n.config.Engines.ExternalRange {
		if r, err := netip.ParsePrefix(text); err == nil { // the configuration has been checked
			p.Ranges = append(p.Ranges, r.Masked())
		}
	}
	return p
}

// ofCluster tells a port that a node of the cluster has told of, as its cluster port or its gateway.
func (n *Node) ofCluster(a netip.AddrPort) bool {
	for _, m := range n.state.Nodes() {
		for _, text := range []string{m.GetClusterAddr(), m.GetApiAddr()} {
			if known, err := netip.ParseAddrPort(text); err == nil && netip.AddrPortFrom(known.Addr().Unmap(), known.Port()) == a {
				return true
			}
		}
	}
	return false
}
