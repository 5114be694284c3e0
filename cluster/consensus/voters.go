package consensus

import (
	"cmp"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// group is what the choice of servers goes by.
type group struct {
	self    spec.NodeID // the leader
	servers []raft.Server
	nodes   map[spec.NodeID]*wire.Node
	alive   map[spec.NodeID]bool // self is
	dead    map[spec.NodeID]bool // for so long that its place may be given away
	current map[spec.NodeID]bool // has, nearly, the leader's log
}

// A move changes one server of the group.
type move struct {
	kind moveKind
	id   spec.NodeID
	addr string // of admit and promote
}

type moveKind uint8

const (
	stay     moveKind = iota
	admit             // as a server without a vote, until it has the log
	promote           // to a voter
	expel             // it is no server any more
	handOver          // the leader is to go, and another must lead first
)

func (k moveKind) String() string {
	return [...]string{"stay", "admit", "promote", "expel", "hand over"}[min(k, handOver)]
}

// next is the group's next move. Moves are made one at a time, and none that
// would leave the living voters without a quorum.
func (g group) next() move {
	for _, step := range []func() move{g.removed, g.grown, g.shrunk} {
		if m := step(); m.kind != stay {
			return m
		}
	}
	return move{}
}

// removed: a node that was removed from the cluster, or may vote no more, goes.
func (g group) removed() move {
	for _, s := range g.servers {
		id := spec.NodeID(s.ID)
		n := g.nodes[id]
		if n == nil || eligible(n) {
			continue // one without a record has just been bootstrapped
		}
		if id == g.self {
			if g.livingOthers() > 0 {
				return move{kind: handOver, id: id}
			}
			continue
		}
		if g.safeWithout(id) {
			return move{kind: expel, id: id}
		}
	}
	return move{}
}

// grown: while fewer than voterTarget voters can be counted on, another is taken
// in, at first without a vote.
func (g group) grown() move {
	if g.reliable() >= voterTarget {
		return move{}
	}
	for _, s := range g.servers {
		id := spec.NodeID(s.ID)
		if s.Suffrage != raft.Nonvoter || g.dead[id] {
			continue
		}
		if g.alive[id] && g.current[id] { // a living voter more never costs the quorum
			return move{kind: promote, id: id, addr: string(s.Address)}
		}
		return move{} // it is catching up
	}
	if n := g.candidate(); n != nil {
		return move{kind: admit, id: spec.NodeID(n.GetId()), addr: n.GetClusterAddr()}
	}
	return move{}
}

// shrunk: voters above the target go, dead ones first; so do servers without a
// vote that are dead or no longer needed.
func (g group) shrunk() move {
	surplus := g.voters() > voterTarget
	for _, wantDead := range []bool{true, false} {
		for _, s := range slices.Backward(g.servers) {
			id := spec.NodeID(s.ID)
			if s.Suffrage == raft.Voter && surplus && id != g.self && g.dead[id] == wantDead && g.safeWithout(id) {
				return move{kind: expel, id: id}
			}
		}
	}
	for _, s := range g.servers {
		if s.Suffrage == raft.Nonvoter && (g.dead[spec.NodeID(s.ID)] || g.reliable() >= voterTarget) {
			return move{kind: expel, id: spec.NodeID(s.ID)}
		}
	}
	return move{}
}

// candidate is the living node that is to vote next: of the region, then the
// zone, with the fewest voters, then the one that joined first.
func (g group) candidate() *wire.Node {
	regions, zones := map[string]int{}, map[string]int{}
	for _, s := range g.servers {
		if n := g.nodes[spec.NodeID(s.ID)]; !g.dead[spec.NodeID(s.ID)] {
			regions[n.GetRegion()]++
			zones[n.GetRegion()+"/"+n.GetZone()]++
		}
	}
	var best *wire.Node
	for id, n := range g.nodes {
		if !g.alive[id] || !eligible(n) || n.GetState() != wire.NodeState_NODE_STATE_ACTIVE || n.GetClusterAddr() == "" || isServer(g.servers, id) {
			continue
		}
		if best == nil || cmp.Or(
			cmp.Compare(regions[n.GetRegion()], regions[best.GetRegion()]),
			cmp.Compare(zones[n.GetRegion()+"/"+n.GetZone()], zones[best.GetRegion()+"/"+best.GetZone()]),
			cmp.Compare(n.GetJoinedMs(), best.GetJoinedMs()),
			cmp.Compare(n.GetId(), best.GetId())) < 0 {
			best = n
		}
	}
	return best
}

func eligible(n *wire.Node) bool {
	return n.GetState() != wire.NodeState_NODE_STATE_REMOVED && slices.Contains(n.GetRoles(), string(spec.RoleVoter))
}

func quorum(voters int) int { return voters/2 + 1 }

func (g group) count(ok func(raft.Server, spec.NodeID) bool) int {
	n := 0
	for _, s := range g.servers {
		if ok(s, spec.NodeID(s.ID)) {
			n++
		}
	}
	return n
}

func (g group) voters() int {
	return g.count(func(s raft.Server, _ spec.NodeID) bool { return s.Suffrage == raft.Voter })
}

func (g group) livingOthers() int {
	return g.count(func(s raft.Server, id spec.NodeID) bool {
		return s.Suffrage == raft.Voter && g.alive[id] && id != g.self
	})
}

// reliable counts the voters that are not dead for long.
func (g group) reliable() int {
	return g.count(func(s raft.Server, id spec.NodeID) bool { return s.Suffrage == raft.Voter && !g.dead[id] })
}

// safeWithout tells whether those that live are a quorum when id is no voter.
func (g group) safeWithout(id spec.NodeID) bool {
	rest := func(s raft.Server, other spec.NodeID) bool { return s.Suffrage == raft.Voter && other != id }
	living := g.count(func(s raft.Server, other spec.NodeID) bool { return rest(s, other) && g.alive[other] })
	return living >= quorum(g.count(rest))
}
