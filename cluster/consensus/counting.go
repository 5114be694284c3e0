package consensus

import (
	"slices"

	"github.com/hashicorp/raft"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func eligible(n *wire.Node) bool {
	return n.GetState() != wire.NodeState_NODE_STATE_REMOVED && slices.Contains(n.GetRoles(), string(spec.RoleVoter))
}

// mayVote tells whether the node may be a voter. One without a record has just
// been bootstrapped.
func (g group) mayVote(id spec.NodeID) bool {
	n := g.nodes[id]
	return n == nil || eligible(n)
}

// usable tells whether the node may be given a vote: a draining one is about to go.
func (g group) usable(id spec.NodeID) bool {
	n := g.nodes[id]
	return n != nil && eligible(n) && n.GetState() == wire.NodeState_NODE_STATE_ACTIVE && n.GetClusterAddr() != ""
}

// limit is how many voters the records allow, dead or alive.
func (g group) limit() int {
	n := 0
	for _, r := range g.nodes {
		if eligible(r) {
			n++
		}
	}
	return odd(min(n, g.most))
}

// room is how many voters there are nodes for: those that vote now, and those
// that might and are not dead.
func (g group) room() int {
	n := g.voters()
	for id := range g.nodes {
		if g.usable(id) && !g.dead[id] && !g.votes(id) {
			n++
		}
	}
	return odd(min(n, g.most))
}

// odd is the greatest odd number up to n, and 1 at least.
func odd(n int) int { return max(1, n-(n+1)%2) }

func (g group) count(ok func(raft.Server, spec.NodeID) bool) int {
	n := 0
	for _, s := range g.servers {
		if ok(s, spec.NodeID(s.ID)) {
			n++
		}
	}
	return n
}

// voters counts those that may stay so.
func (g group) voters() int {
	return g.count(func(s raft.Server, id spec.NodeID) bool { return s.Suffrage == raft.Voter && g.mayVote(id) })
}

func (g group) votes(id spec.NodeID) bool {
	return slices.ContainsFunc(g.servers, func(s raft.Server) bool { return s.ID == raft.ServerID(id) && s.Suffrage == raft.Voter })
}

// mayLead tells whether the server may take over from the leader.
func (g group) mayLead(s raft.Server, id spec.NodeID) bool {
	return voter(s) && id != g.self && g.alive[id] && g.mayVote(id)
}

// standingBy counts the servers without a vote; usable: that could get one.
func (g group) standingBy(usable bool) int {
	return g.count(func(s raft.Server, id spec.NodeID) bool {
		return s.Suffrage != raft.Voter && !g.dead[id] && g.mayVote(id) && (!usable || g.usable(id))
	})
}

// ready are the servers that could get a vote now.
func (g group) ready() []spec.NodeID {
	var out []spec.NodeID
	for _, s := range g.servers {
		if id := spec.NodeID(s.ID); s.Suffrage != raft.Voter && g.usable(id) && g.alive[id] && g.current[id] {
			out = append(out, id)
		}
	}
	return out
}

// outside are the living nodes that could become servers.
func (g group) outside() []spec.NodeID {
	var out []spec.NodeID
	for id := range g.nodes {
		if g.usable(id) && g.alive[id] && !isServer(g.servers, id) {
			out = append(out, id)
		}
	}
	return out
}

// well tells whether every server lives, has the log and is to stay.
func (g group) well() bool {
	return !slices.ContainsFunc(g.servers, func(s raft.Server) bool {
		id := spec.NodeID(s.ID)
		return !g.alive[id] || !g.usable(id) || id != g.self && s.Suffrage == raft.Voter && !g.current[id]
	})
}

func quorum(voters int) int { return voters/2 + 1 }

// safeWithout tells whether those that live are a quorum when id is no voter.
func (g group) safeWithout(id spec.NodeID) bool {
	rest := func(s raft.Server, other spec.NodeID) bool { return s.Suffrage == raft.Voter && other != id }
	living := g.count(func(s raft.Server, other spec.NodeID) bool { return rest(s, other) && g.alive[other] })
	return living >= quorum(g.count(rest))
}
