package node

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lotabots/lotabots/actors/quota"
	"github.com/lotabots/lotabots/cluster/consensus"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/node/quotas"
)

// quotaFinal bounds how long a node that ends tells of the limits that it owns.
const quotaFinal = 2 * time.Second

// Lease asks the owner of a limit for a share of it.
func (n *Node) Lease(ctx context.Context, r *wire.QuotaRequest) (*wire.QuotaGrant, error) {
	return n.quotas.Lease(ctx, r)
}

// newKeeper makes the node's part in keeping limits, without an actor yet.
func (n *Node) newKeeper() *quotas.Keeper {
	c := quotas.Config{Self: n.id, Workers: n.quotaWorkers, Level: n.census.level, Age: n.stateAge,
		Ask: func(ctx context.Context, to spec.NodeID, r *wire.QuotaRequest) (*wire.QuotaGrant, error) {
			return n.infer.Quota(ctx, to, r)
		},
		Propose: func(ctx context.Context, c *wire.Command) (*wire.Result, error) { return n.proposer.Propose(ctx, c) },
		Log:     n.log}
	if n.has(spec.RoleWorker) {
		c.Own = func(ctx context.Context, r *wire.QuotaRequest) (*wire.QuotaGrant, error) {
			return n.actors.Quota(ctx, r)
		}
		c.Collect = func(ctx context.Context, m quota.Collect) ([]*wire.QuotaState, error) {
			return n.actors.QuotaStates(ctx, m)
		}
	}
	return quotas.New(c)
}

// keepQuotas tells of the limits that this node owns until the node ends.
func (n *Node) keepQuotas() {
	if !n.has(spec.RoleWorker) {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.quotas.Run(ctx, quotaFinal)
	}()
	n.onStop("limits", func(context.Context) error {
		cancel()
		<-done
		return nil
	})
}

// quotaWorkers are the living nodes that have actors of limits.
func (n *Node) quotaWorkers() []spec.NodeID {
	var out []spec.NodeID
	for _, m := range n.gossip.Members() {
		if slices.Contains(m.Roles, spec.RoleWorker) {
			out = append(out, m.ID)
		}
	}
	return out
}

// A census counts the records of nodes, not oftener than every second: limits ask it often.
type census struct {
	nodes func() []*wire.Node
	needs func() uint64
	now   atomic.Pointer[count]
}

type count struct {
	at       time.Time
	level    uint32
	gateways int
}

func (c *census) take() *count {
	if now := c.now.Load(); now != nil && time.Since(now.at) < time.Second {
		return now
	}
	all := c.nodes()
	now := &count{at: time.Now(), level: max(consensus.Least(all), uint32(c.needs()))}
	for _, n := range all {
		if n.GetState() != wire.NodeState_NODE_STATE_REMOVED && slices.Contains(n.GetRoles(), string(spec.RoleGateway)) {
			now.gateways++
		}
	}
	c.now.Store(now)
	return now
}

// level is the feature level that every member knows, or that the state needs anyway.
func (c *census) level() uint32 { return c.take().level }

// sharers is among how many gateways a limit without an owner is shared: those that
// the cluster has, dead or alive, for who is on the other side of a partition counts.
func (n *Node) sharers() int { return max(n.census.take().gateways, n.gateways()) }
