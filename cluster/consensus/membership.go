package consensus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

const (
	watchEvery    = 100 * time.Millisecond
	askEvery      = time.Second     // whether this server is still one, when no leader talks to it
	silentAfter   = 2 * time.Second // then it asks
	currentAlmost = 64              // entries that a server may lack and still be taken for current
)

// past is what the choice of voters has to remember. A new leader begins with
// what it saw as a follower.
type past struct {
	missing map[spec.NodeID]time.Time // since when nodes are not alive
	who     string                    // the servers, and the nodes that live
	since   time.Time                 // when who last changed
}

// chooseVoters makes the group's moves while this node leads.
func (c *Consensus) chooseVoters() {
	seen := &past{missing: map[spec.NodeID]time.Time{}}
	for sleep(c.run, watchEvery) {
		m, err := c.nextMove(seen)
		if m.kind == stay {
			continue
		}
		level := c.cfg.Log.Info
		if err != nil {
			level = c.cfg.Log.Warn
		}
		level("raft group", "move", m.kind.String(), "peer", m.id, "address", m.addr, "error", err)
		if err != nil && !sleep(c.run, askEvery) {
			return
		}
	}
}

// nextMove makes the group's next move, if there is one.
func (c *Consensus) nextMove(seen *past) (move, error) {
	c.moving.Lock()
	defer c.moving.Unlock()
	g := c.survey(seen, time.Now())
	if !c.IsLeader() || c.readyTerm.Load() != c.Term() {
		return move{}, nil
	}
	m := g.next()
	if m.kind == stay {
		return m, nil
	}
	return m, c.make(m)
}

// survey gathers what the choice goes by.
func (c *Consensus) survey(seen *past, now time.Time) group {
	g := group{self: c.cfg.ID, servers: c.servers(), most: c.cfg.MostVoters(), nodes: map[spec.NodeID]*wire.Node{},
		alive: map[spec.NodeID]bool{}, dead: map[spec.NodeID]bool{}}
	missing := seen.missing
	look := func(id spec.NodeID) {
		if id == g.self || c.cfg.Alive(id) {
			g.alive[id] = true
			delete(missing, id)
			return
		}
		if _, known := missing[id]; !known {
			missing[id] = now
		}
		g.dead[id] = now.Sub(missing[id]) >= deadAfter
	}
	for _, n := range c.cfg.Nodes() {
		g.nodes[spec.NodeID(n.GetId())] = n
		look(spec.NodeID(n.GetId()))
	}
	for _, s := range g.servers {
		look(spec.NodeID(s.ID))
	}
	g.current = c.haveLog(g.servers, now)
	living := slices.DeleteFunc(slices.Sorted(maps.Keys(g.alive)), func(id spec.NodeID) bool { return !g.mayVote(id) })
	if who := fmt.Sprint(g.servers, living); who != seen.who {
		seen.who, seen.since = who, now
	}
	g.calm = now.Sub(seen.since) >= c.cfg.Calm
	return g
}

// haveLog tells which servers have the leader's log but for a little.
func (c *Consensus) haveLog(servers []raft.Server, now time.Time) map[spec.NodeID]bool {
	out := map[spec.NodeID]bool{}
	term, last := c.Term(), c.raft.LastIndex()
	for _, s := range servers {
		a, _ := c.peers.last(s.ID, term)
		out[spec.NodeID(s.ID)] = now.Sub(a.sent) < time.Second && a.lastLog+currentAlmost >= last
	}
	return out
}

func (c *Consensus) make(m move) error {
	ctx, cancel := context.WithTimeout(c.run, insistence)
	defer cancel()
	id, addr := raft.ServerID(m.id), raft.ServerAddress(m.addr)
	if m.kind == handOver {
		return c.TransferLeadership(ctx)
	}
	return c.ask(ctx, func() error {
		at := c.raft.GetConfiguration().Index()
		switch m.kind {
		case admit:
			return c.raft.AddNonvoter(id, addr, at, rpcTimeout).Error()
		case promote:
			return c.raft.AddVoter(id, addr, at, rpcTimeout).Error()
		case demote:
			return c.raft.DemoteVoter(id, at, rpcTimeout).Error()
		case expel:
			return c.raft.RemoveServer(id, at, rpcTimeout).Error()
		}
		return nil
	})
}

// watch keeps what is known of this server's own standing.
func (c *Consensus) watch() {
	var asked time.Time
	for sleep(c.run, watchEvery) {
		switch {
		case c.IsLeader():
			c.expelled.Store(false)
			if err := c.catchUp(c.run, c.Term()); err != nil && !errors.Is(err, raft.ErrLeadershipLost) {
				c.cfg.Log.Debug("the leader has not caught up yet", "error", err)
			}
		case c.silence() < silentAfter:
			c.expelled.Store(false)
		case time.Since(asked) >= askEvery:
			asked = time.Now()
			c.askStanding(c.run)
		}
	}
}

// silence is how long no leader has talked to this server.
func (c *Consensus) silence() time.Duration {
	last := c.raft.LastContact()
	if last.IsZero() {
		last = c.opened
	}
	return time.Since(last)
}

// askStanding finds out who leads, and whether this server was expelled while it
// was away: nobody tells it, since leaders talk to the group's servers only.
func (c *Consensus) askStanding(ctx context.Context) {
	leader, ok := c.asker.find(ctx)
	if !ok || leader == c.cfg.ID {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, hintTimeout)
	defer cancel()
	said, err := c.caller.leader(ctx, leader)
	if err != nil || said.Leader != leader || said.Term < c.Term() || slices.Contains(said.Servers, c.cfg.ID) {
		return
	}
	if isServer(c.servers(), c.cfg.ID) && c.expelled.CompareAndSwap(false, true) {
		c.cfg.Log.Info("this node is no Raft server any more", "leader", leader, "term", said.Term)
	}
}
