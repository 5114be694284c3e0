package consensus

import (
	"context"
	"errors"
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

// chooseVoters makes the group's moves while this node leads.
func (c *Consensus) chooseVoters() {
	missing := map[spec.NodeID]time.Time{}
	for sleep(c.run, watchEvery) {
		g := c.survey(missing, time.Now())
		if !c.IsLeader() || c.readyTerm.Load() != c.Term() {
			continue
		}
		m := g.next()
		if m.kind == stay {
			continue
		}
		err := c.make(m)
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

// survey gathers what the choice goes by. missing keeps since when nodes are
// not alive.
func (c *Consensus) survey(missing map[spec.NodeID]time.Time, now time.Time) group {
	g := group{self: c.cfg.ID, servers: c.servers(), nodes: map[spec.NodeID]*wire.Node{},
		alive: map[spec.NodeID]bool{}, dead: map[spec.NodeID]bool{}, current: map[spec.NodeID]bool{}}
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
	term, last := c.Term(), c.raft.LastIndex()
	for _, s := range g.servers {
		look(spec.NodeID(s.ID))
		a, _ := c.peers.last(s.ID, term)
		g.current[spec.NodeID(s.ID)] = now.Sub(a.sent) < time.Second && a.lastLog+currentAlmost >= last
	}
	return g
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
		case readdress:
			return c.readdress(id, addr, at)
		case expel:
			return c.raft.RemoveServer(id, at, rpcTimeout).Error()
		}
		return nil
	})
}

func (c *Consensus) readdress(id raft.ServerID, addr raft.ServerAddress, at uint64) error {
	for _, s := range c.servers() {
		if s.ID == id && s.Suffrage == raft.Voter {
			return c.raft.AddVoter(id, addr, at, rpcTimeout).Error()
		}
	}
	return c.raft.AddNonvoter(id, addr, at, rpcTimeout).Error()
}

// watch keeps what is known of this server's own standing.
func (c *Consensus) watch() {
	var asked time.Time
	for sleep(c.run, watchEvery) {
		term := c.Term()
		switch {
		case c.IsLeader():
			c.expelled.Store(false)
			if err := c.catchUp(c.run, term); err != nil && !errors.Is(err, raft.ErrLeadershipLost) {
				c.cfg.Log.Debug("the leader has not caught up yet", "error", err)
			}
		case c.silence() < silentAfter:
			c.expelled.Store(false)
		case time.Since(asked) >= askEvery && isServer(c.servers(), c.cfg.ID):
			asked = time.Now()
			c.askStanding(term)
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

// askStanding finds out whether this server was expelled while it was away:
// nobody tells it, since leaders talk to the group's servers only.
func (c *Consensus) askStanding(term uint64) {
	for _, s := range c.servers() {
		id := spec.NodeID(s.ID)
		if id == c.cfg.ID {
			continue
		}
		ctx, cancel := context.WithTimeout(c.run, hintTimeout)
		said, err := c.caller.leader(ctx, id)
		if err == nil && said.Leader != id && said.Leader != "" && said.Leader != c.cfg.ID {
			id = said.Leader
			said, err = c.caller.leader(ctx, id)
		}
		cancel()
		if err != nil || said.Leader != id || said.Term < term {
			continue
		}
		gone := true
		for _, server := range said.Servers {
			gone = gone && server != c.cfg.ID
		}
		if gone && c.expelled.CompareAndSwap(false, true) {
			c.cfg.Log.Info("this node is no Raft server any more", "leader", id, "term", said.Term)
		}
		return
	}
}
