package node

import (
	"context"
	"hash/fnv"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// Open brings a request to the actor that is to serve it: by a direct call on
// this node, over the cluster port to any other.
func (n *Node) Open(ctx context.Context, target spec.Target, call spec.Call, body []byte) (spec.Stream, error) {
	if target.Node == n.id && n.actors != nil {
		return n.actors.Opener().Open(ctx, target, call, body)
	}
	return n.infer.Open(ctx, target, call, body)
}

// Alive implements spec.Prober.
func (n *Node) Alive(ctx context.Context, node spec.NodeID) error {
	if node == n.id {
		return nil
	}
	return n.infer.Alive(ctx, node)
}

// Lease asks the owner of a limit for a share of it. The owner is the living
// worker that the limit's name hashes highest with, so that all gateways agree.
func (n *Node) Lease(ctx context.Context, r *wire.QuotaRequest) (*wire.QuotaGrant, error) {
	owner := n.quotaOwner(r.GetLimit())
	switch {
	case owner == "":
		return nil, spec.Errorf(spec.CodeBusy, "no worker is alive to keep the limit %s", r.GetLimit())
	case owner == n.id:
		return n.actors.Quota(ctx, r)
	}
	return n.infer.Quota(ctx, owner, r)
}

func (n *Node) quotaAsOwner(ctx context.Context, _ spec.NodeID, r *wire.QuotaRequest) (*wire.QuotaGrant, error) {
	return n.actors.Quota(ctx, r)
}

func (n *Node) quotaOwner(limit string) spec.NodeID {
	var best spec.NodeID
	var highest uint64
	for _, m := range n.gossip.Members() {
		worker := false
		for _, r := range m.Roles {
			worker = worker || r == spec.RoleWorker
		}
		if weight := rendezvous(m.ID, limit); worker && (best == "" || weight > highest) {
			best, highest = m.ID, weight
		}
	}
	return best
}

func rendezvous(id spec.NodeID, limit string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(limit))
	x := h.Sum64() // FNV mixes its last bytes poorly into the high bits
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return x
}
