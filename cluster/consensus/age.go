package consensus

import (
	"context"
	"time"

	"github.com/hashicorp/raft"
)

const (
	confirmEvery = 500 * time.Millisecond
	confirmAgain = 150 * time.Millisecond // after what failed, and at the start
	confirmLimit = 2 * time.Second        // for the leader's answer, and for this node to apply what it names
)

// Age is how long ago this node's copy of the state was the newest, at most: 0 on
// a leader whom a quorum has lately confirmed, the time since it asked the leader
// elsewhere, Unknown before the first time.
//
// Raft's own word for a contact with the leader would not do: a heartbeat says
// nothing of the log, and one that waited while this node was stopped, or its link
// frozen, is as old as that.
func (c *Consensus) Age() time.Duration {
	now := time.Now()
	last, at := c.current.Load(), c.ledAt(now)
	if !at.IsZero() && (last == nil || at.Sub(*last) > raiseAfter) {
		c.raise(at)
		last = c.current.Load()
	}
	switch {
	case last == nil:
		return Unknown
	case at.After(*last):
		return max(now.Sub(at), 0)
	}
	return max(now.Sub(*last), 0)
}

// raiseAfter is what a leader may know and not have noted: who asks for the age with each
// request is not to have it noted with each.
const raiseAfter = 10 * time.Millisecond

// Confirm takes note that this node's copy had everything that was answered before
// at, as another way of following the state has found out.
func (c *Consensus) Confirm(at time.Time) { c.raise(at) }

// raise takes note that this node's copy had everything that was answered before at.
func (c *Consensus) raise(at time.Time) {
	for {
		old := c.current.Load()
		if old != nil && !at.After(*old) || c.current.CompareAndSwap(old, &at) {
			return
		}
	}
}

// ledAt is when this node is known to have led last, in its present term: now
// where its lease is valid, the zero time where it does not lead.
func (c *Consensus) ledAt(now time.Time) time.Time {
	term := c.Term()
	if !c.IsLeader() || c.readyTerm.Load() != term {
		return time.Time{}
	}
	at := c.peers.confirmed(raft.ServerID(c.cfg.ID), c.voterIDs(), term, now)
	if !at.IsZero() && now.Sub(at) <= c.cfg.lease() {
		return now
	}
	return at
}

// keepCurrent asks the leader, again and again, for an index that all answered
// writes are below: once this node has applied that, its copy is as new as the
// question.
func (c *Consensus) keepCurrent() {
	for pause := confirmAgain; sleep(c.run, pause); {
		pause = confirmEvery
		if c.IsLeader() {
			c.Age() // where nobody else asks, it would be lost with the leadership
		} else if !c.confirm() {
			pause = confirmAgain
		}
	}
}

func (c *Consensus) confirm() bool {
	ctx, cancel := context.WithTimeout(c.run, confirmLimit)
	defer cancel()
	began := time.Now()
	index, err := atLeader(ctx, c, c.caller.readIndex)
	if err != nil {
		return false
	}
	for c.cfg.FSM.Index() < index {
		if !sleep(ctx, 2*time.Millisecond) {
			return false
		}
	}
	c.raise(began)
	return true
}
