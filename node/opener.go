package node

import (
	"context"

	"github.com/lotabots/lotabots/cluster/spec"
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
