package consensus

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// heirWait is how long the removal of the only voter waits for a living server to
// have the log: one that has just come, or that a busy machine let wait.
const heirWait = 10 * time.Second

// removes names the node that the command removes from the cluster.
func removes(cmd *wire.Command) (spec.NodeID, bool) {
	s := cmd.GetSetNodeState()
	return spec.NodeID(s.GetId()), s.GetState() == wire.NodeState_NODE_STATE_REMOVED
}

// remove carries out the removal of a node. From its record's change on nobody
// talks to the node, so its vote would be missing while it still counted: it is
// taken out of the group first, and not at all where the others could then agree
// on nothing. Meanwhile no other move is made.
func (c *Consensus) remove(ctx context.Context, id spec.NodeID, write func() (*wire.Result, error)) (*wire.Result, error) {
	c.moving.Lock()
	defer c.moving.Unlock()
	g := c.present()
	heir, soon := g.heir(id)
	for until := time.Now().Add(heirWait); soon; {
		if time.Now().After(until) || !sleep(ctx, watchEvery) {
			break
		}
		g = c.present()
		heir, soon = g.heir(id)
	}
	if heir != "" { // the only voter goes: another must have the vote first
		if err := c.make(move{kind: promote, id: heir, addr: g.nodes[heir].GetClusterAddr()}); err != nil {
			return nil, err
		}
		g = c.present()
	}
	if e := g.keeps(id); e != nil {
		return nil, final(e)
	}
	switch {
	case !g.votes(id):
	case id == g.self:
		// The next leader is asked again, and takes this node out.
		if err := c.TransferLeadership(ctx); err != nil {
			return nil, err
		}
		return nil, raft.ErrNotLeader
	default:
		if err := c.make(move{kind: expel, id: id}); err != nil {
			return nil, err
		}
	}
	return write()
}

// present is the group as it is now, without what takes time to be seen.
func (c *Consensus) present() group {
	g := group{self: c.cfg.ID, servers: c.servers(), nodes: map[spec.NodeID]*wire.Node{}, alive: map[spec.NodeID]bool{}}
	for _, n := range c.cfg.Nodes() {
		g.nodes[spec.NodeID(n.GetId())] = n
	}
	for _, s := range g.servers {
		id := spec.NodeID(s.ID)
		g.alive[id] = id == g.self || c.cfg.Alive(id)
	}
	g.current = c.haveLog(g.servers, time.Now())
	return g
}

// heir is the server that is to have the vote of the only voter, where that is the
// one that goes; "" where it is not, or nobody can have it now. soon says that one
// lives that could, but for the end of the log, which it may have in a moment.
func (g group) heir(id spec.NodeID) (heir spec.NodeID, soon bool) {
	if !g.votes(id) || g.count(func(s raft.Server, _ spec.NodeID) bool { return s.Suffrage == raft.Voter }) != 1 {
		return "", false
	}
	if ready := g.ready(); len(ready) > 0 {
		return slices.Min(ready), false
	}
	return "", g.count(func(_ raft.Server, other spec.NodeID) bool { return other != id && g.usable(other) && g.alive[other] }) > 0
}

// keeps says why the node cannot be removed at present, or nil.
func (g group) keeps(id spec.NodeID) *spec.Error {
	if !g.votes(id) || g.safeWithout(id) {
		return nil
	}
	var rest, living []string
	for _, s := range g.servers {
		other := spec.NodeID(s.ID)
		if s.Suffrage != raft.Voter || other == id {
			continue
		}
		rest = append(rest, string(other))
		if g.alive[other] {
			living = append(living, string(other))
		}
	}
	if len(rest) == 0 {
		return &spec.Error{Code: spec.CodeConflict, Message: fmt.Sprintf("Node %s is the only voter: without it nothing could be written.", id),
			Hint: "Have another node with the role voter join first, and wait until lotabots status shows it as a voter."}
	}
	slices.Sort(rest)
	return &spec.Error{Code: spec.CodeConflict,
		Message: fmt.Sprintf("Without node %s nothing could be written: of the other voters (%s) %d of %d are alive.", id, strings.Join(rest, ", "), len(living), len(rest)),
		Hint:    "Bring the dead ones back, or remove those first; where they are lost for good, see lotabots recover."}
}
