package node

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/lotabots/lotabots/cluster/join"
	"github.com/lotabots/lotabots/cluster/spec"
)

const (
	renewCheck = time.Minute
	renewRetry = 5 * time.Second // after a failure; a cluster that was switched off for long has no leader at first
)

// renewCertificate has the node's certificate renewed at half of its life, and at
// once when the node starts with one that has expired.
func (n *Node) renewCertificate(ctx context.Context) {
	for {
		wait := renewCheck + time.Duration(rand.Int64N(int64(renewCheck/4)))
		if leaf := n.identity.Leaf(); time.Now().After(leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2)) {
			if err := n.renew(ctx); err != nil {
				n.log.Warn("the node's certificate was not renewed; trying again", "expires", leaf.NotAfter, "error", err)
				wait = renewRetry
			} else {
				n.log.Info("the node's certificate was renewed", "expires", n.identity.Leaf().NotAfter)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (n *Node) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	signers := n.voters()
	if n.raft != nil {
		signers = append([]spec.NodeID{n.id}, signers...)
	}
	return join.Renew(ctx, n.port.Client("state"), signers, n.identity)
}

// leaderHint is who leads, as a node that is no Raft server was last told.
func (n *Node) leaderHint() (spec.NodeID, bool) {
	if f, ok := n.proposer.(interface{ Leader() (spec.NodeID, bool) }); ok {
		return f.Leader()
	}
	return "", false
}
