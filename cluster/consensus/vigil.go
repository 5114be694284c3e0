package consensus

import (
	"errors"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// keepVigil has a follower look for another leader soon after its own fell silent.
//
// Raft's timer alone looks for that only each 1 to 2 heartbeat timeouts, so that a
// follower may take 3 to see it; and one that has not seen it refuses its vote to
// those that have, so that the slowest of a quorum sets the pace.
func (c *Consensus) keepVigil() {
	v := vigil{heartbeat: c.cfg.Heartbeat}
	for wait := v.idle(); ; {
		began := time.Now()
		if !sleep(c.run, wait) {
			return
		}
		now := time.Now()
		v.woke(now, now.Sub(began)-wait)
		contact, rank, follows := c.following()
		switch {
		case !follows:
			wait = v.idle()
		case now.Before(v.due(contact, rank)):
			wait = v.due(contact, rank).Sub(now)
		default:
			c.giveUp()
			wait = v.idle()
		}
	}
}

// following tells when this server, a voter that follows, last heard from its
// leader, and its place among those that may stand for election next: each knows
// another, so that they need not compete.
func (c *Consensus) following() (contact time.Time, rank int, ok bool) {
	self, voters := raft.ServerID(c.cfg.ID), c.voterIDs()
	contact = c.raft.LastContact()
	if c.raft.State() != raft.Follower || contact.IsZero() || !slices.Contains(voters, self) {
		return contact, 0, false
	}
	leader, _ := c.heardOf()
	return contact, rankOf(self, raft.ServerID(leader), voters), true
}

// rankOf is the place of self among the voters but the leader.
func rankOf(self, leader raft.ServerID, voters []raft.ServerID) int {
	rank := 0
	for _, id := range voters {
		if id < self && id != leader {
			rank++
		}
	}
	return rank
}

// giveUp has raft's timer fire now, and the server stand for election unless its
// leader has spoken meanwhile. Raft restarts the timer where the timeout is made
// less, by however little.
func (c *Consensus) giveUp() {
	var failed error
	for _, timeout := range []time.Duration{c.cfg.Heartbeat + 1, c.cfg.Heartbeat} {
		r := c.raft.ReloadableConfig()
		r.HeartbeatTimeout, r.ElectionTimeout = timeout, timeout
		failed = errors.Join(failed, c.raft.ReloadConfig(r))
	}
	if failed != nil {
		c.cfg.Log.Warn("Raft takes no new timeout; a dead leader is replaced later", "error", failed)
	}
}

// A vigil knows how long a follower waits for its leader.
type vigil struct {
	heartbeat time.Duration
	awake     time.Time // since when this process has run without a pause; zero: always
}

// step is by how much each follower is more patient than the one before it: more
// than the way of a vote, or two may stand at once and share the votes.
func (v *vigil) step() time.Duration { return v.heartbeat / 5 }

// idle is the pause where there is nothing to wait for.
func (v *vigil) idle() time.Duration { return v.heartbeat / 2 }

// woke takes note of a sleep that ended late. The process, or the machine, stood
// still then, and what the leader has said meanwhile may not have been read yet.
func (v *vigil) woke(now time.Time, late time.Duration) {
	if late > v.step() {
		v.awake = now
	}
}

// due is when the leader that was last heard from at contact is given up.
func (v *vigil) due(contact time.Time, rank int) time.Time {
	patience := time.Duration(rank+1) * v.step()
	due := contact.Add(v.heartbeat + patience)
	if rested := v.awake.Add(v.heartbeat/2 + patience); !v.awake.IsZero() && rested.After(due) {
		return rested
	}
	return due
}
