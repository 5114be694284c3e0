package consensus

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lotabots/lotabots/cluster/spec"
)

// TransferLeadership has another living voter lead, and returns when this node
// knows it. It fails where this node does not lead, or no other voter lives.
func (c *Consensus) TransferLeadership(ctx context.Context) error {
	if !c.IsLeader() {
		return spec.Errorf(spec.CodeNoLeader, "node %s does not lead the cluster", c.cfg.ID)
	}
	heirs := c.heirs()
	if len(heirs) == 0 {
		return &spec.Error{Code: spec.CodeConflict, Message: "No other living voter could lead the cluster.",
			Hint: "Start another node with the role voter."}
	}
	var failed []error
	for _, s := range heirs {
		err := c.ask(ctx, func() error { return c.raft.LeadershipTransferToServer(s.ID, s.Address).Error() })
		if err == nil || !c.IsLeader() { // raft gives up early on an heir that is slow to win
			err = c.awaitSuccessor(ctx)
		}
		if err == nil {
			return nil
		}
		failed = append(failed, err)
		if ctx.Err() != nil || !c.IsLeader() {
			break
		}
	}
	return &spec.Error{Code: spec.CodeNoLeader, Message: "Leadership was not handed over.", Err: errors.Join(failed...)}
}

// heirs are the living voters that may lead next, those that stay voters before
// others, and then the one with most of the log first.
func (c *Consensus) heirs() []raft.Server {
	term := c.Term()
	going := map[raft.ServerID]int{}
	for _, n := range c.cfg.Nodes() {
		if !eligible(n) {
			going[raft.ServerID(n.GetId())] = 1
		}
	}
	var out []raft.Server
	for _, s := range c.servers() {
		id := spec.NodeID(s.ID)
		if s.Suffrage == raft.Voter && id != c.cfg.ID && c.cfg.Alive(id) {
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, func(a, b raft.Server) int {
		x, _ := c.peers.last(a.ID, term)
		y, _ := c.peers.last(b.ID, term)
		return cmp.Or(cmp.Compare(going[a.ID], going[b.ID]), cmp.Compare(y.lastLog, x.lastLog))
	})
	return out
}

func (c *Consensus) awaitSuccessor(ctx context.Context) error {
	limit, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	for {
		if leader, ok := c.Leader(); ok && leader != c.cfg.ID {
			return nil
		}
		if !sleep(limit, 5*time.Millisecond) {
			return errNoLeader
		}
	}
}
