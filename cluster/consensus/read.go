package consensus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Unknown is the age of a copy that was never known to be the newest.
const Unknown = time.Duration(math.MaxInt64)

// ReadIndex returns an index: a state machine that has reached it has all writes
// that were answered before ReadIndex was called. Other nodes ask the leader.
func (c *Consensus) ReadIndex(ctx context.Context) (uint64, error) {
	return insist(ctx, "the read", func(ctx context.Context) (uint64, error) {
		if c.IsLeader() {
			return c.confirmedIndex(ctx)
		}
		index, err := atLeader(ctx, c, c.caller.readIndex)
		return index, nothingBegun(err)
	})
}

// nothingBegun: of a read nothing is ever half done.
func nothingBegun(err error) error {
	if errors.Is(err, errMaybe) {
		return errors.New(err.Error())
	}
	return err
}

// Barrier returns when this node's state machine has all writes that were
// answered before Barrier was called.
func (c *Consensus) Barrier(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, insistence)
	defer cancel()
	index, err := c.ReadIndex(ctx)
	if err != nil {
		return err
	}
	for c.cfg.FSM.Index() < index {
		if !sleep(ctx, 2*time.Millisecond) {
			return spec.Errorf(spec.CodeStaleState, "this node has applied entry %d, and the newest is %d", c.cfg.FSM.Index(), index)
		}
	}
	return nil
}

// confirmedIndex is the leader's part of a read. The order matters: that this
// node led is confirmed by messages sent after the index was taken.
func (c *Consensus) confirmedIndex(ctx context.Context) (uint64, error) {
	term := c.Term()
	if err := c.catchUp(ctx, term); err != nil {
		return 0, err
	}
	// A write of this term raised the index before it was answered, and those of
	// earlier terms were applied when the term began.
	index := c.cfg.FSM.Index()
	began := time.Now()
	for {
		err := c.ask(ctx, func() error { return c.raft.VerifyLeader().Error() })
		if err != nil {
			return 0, err
		}
		if c.Term() != term || !c.IsLeader() {
			return 0, raft.ErrLeadershipLost
		}
		if at := c.peers.confirmed(raft.ServerID(c.cfg.ID), c.voterIDs(), term, time.Now()); !at.Before(began) {
			return index, nil
		}
		// raft counted an answer to an older message: ask again.
		if !sleep(ctx, time.Millisecond) {
			return 0, context.Cause(ctx)
		}
	}
}

// catchUp returns when the state machine of this node, which leads in term, has
// all that earlier leaders agreed.
func (c *Consensus) catchUp(ctx context.Context, term uint64) error {
	if c.readyTerm.Load() == term {
		return nil
	}
	if err := c.ask(ctx, func() error { return c.raft.Barrier(rpcTimeout).Error() }); err != nil {
		return fmt.Errorf("waiting for the term's first entry: %w", err)
	}
	if c.Term() != term || !c.IsLeader() {
		return raft.ErrLeadershipLost
	}
	c.readyTerm.Store(term)
	return nil
}
