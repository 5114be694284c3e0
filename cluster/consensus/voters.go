package consensus

import (
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
	most    int                  // voters: 1, 3 or 5
	calm    bool                 // nobody has come, gone, died or returned for a while
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
	admit             // as a server without a vote, which gets the log
	promote           // to a voter
	demote            // to a server without a vote
	expel             // it is no server any more
	handOver          // the leader is to go, and another must lead first
	wait              // as stay, and nothing that comes later in the order is to be done either
)

func (k moveKind) String() string {
	return [...]string{"stay", "admit", "promote", "demote", "expel", "hand over", "wait"}[min(k, wait)]
}

const (
	maxServers = 32 // whatever happens: a follower costs the leader some 20 calls a second
	spares     = 2  // servers without a vote that stand by with the log
)

// next is the group's next move. Moves are made one at a time, and none that
// would leave the living voters without a quorum.
//
// There are two bounds for the voters, both odd. They grow as far as the nodes
// that can be counted on allow (room); they shrink only to what the records of
// nodes allow (limit). A node that merely died lowers the one and not the other,
// so that it costs no vote: it is replaced, or keeps its place until it is
// removed from the cluster.
func (g group) next() move {
	for _, step := range []func() move{g.removed, g.shrunk, g.replaced, g.grown, g.buried, g.reserved, g.spread, g.trimmed} {
		switch m := step(); m.kind {
		case stay:
		case wait:
			return move{}
		default:
			return m
		}
	}
	return move{}
}

// removed: a node that was removed from the cluster, or may vote no more, goes.
func (g group) removed() move {
	for _, s := range g.servers {
		id := spec.NodeID(s.ID)
		if g.mayVote(id) {
			continue
		}
		if id == g.self {
			if g.count(g.mayLead) > 0 {
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

// shrunk: voters above the limit lose their vote, dead ones first, then those
// that the others are best spread without.
func (g group) shrunk() move {
	if g.voters() <= g.limit() {
		return move{}
	}
	var best *seat
	for _, s := range g.servers {
		id := spec.NodeID(s.ID)
		if s.Suffrage != raft.Voter || id == g.self || !g.mayVote(id) || !g.safeWithout(id) {
			continue
		}
		if x := g.without(id); best == nil || x.before(*best) {
			best = &x
		}
	}
	switch {
	case best == nil:
		return move{}
	case g.dead[best.id]:
		return move{kind: expel, id: best.id}
	}
	return move{kind: demote, id: best.id}
}

// replaced: a dead voter goes where a spare is ready to vote in its place. It
// goes before the spare gets its vote: an odd number of voters tolerates as many
// more deaths without it, and is not stuck if the spare dies just then.
func (g group) replaced() move {
	if g.voters()%2 == 0 || len(g.ready()) == 0 {
		return move{}
	}
	for _, s := range g.servers {
		if id := spec.NodeID(s.ID); s.Suffrage == raft.Voter && g.dead[id] && g.safeWithout(id) {
			return move{kind: expel, id: id}
		}
	}
	return move{}
}

// grown: servers that have the log get a vote, two at a time where the voters
// are odd: an even number is no safer than one less.
func (g group) grown() move {
	v, ready := g.voters(), g.ready()
	if v >= g.room() || len(ready) < 1+v%2 {
		return move{}
	}
	return g.best(ready).promotion()
}

// buried: a server without a vote that is dead goes.
func (g group) buried() move {
	for _, s := range g.servers {
		if s.Suffrage != raft.Voter && g.dead[spec.NodeID(s.ID)] {
			return move{kind: expel, id: spec.NodeID(s.ID)}
		}
	}
	return move{}
}

// reserved: as many servers without a vote are kept as are to get one, and some
// spares.
func (g group) reserved() move {
	missing := max(0, g.room()-g.voters())
	if g.standingBy(false) >= missing+spares && g.standingBy(true) >= missing {
		return move{}
	}
	return g.best(g.outside()).admission(g)
}

// spread: where everybody is well, and another node would stand better than one
// of the voters, it gets a vote first and the one that is then worst placed loses
// its own. Each such exchange makes the spread strictly better, so that there is
// an end to them.
func (g group) spread() move {
	if !g.calm || g.voters() != g.limit() || g.voters() != g.room() || !g.well() {
		return move{}
	}
	in, ok := g.exchange()
	switch {
	case !ok:
		return move{}
	case !isServer(g.servers, in.id):
		if g.standingBy(false) > spares {
			return move{} // one too many leaves first
		}
		return in.admission(g)
	case g.current[in.id]:
		return in.promotion()
	}
	return move{kind: wait}
}

// trimmed: servers without a vote above the number of spares go.
func (g group) trimmed() move {
	if !g.calm || g.voters() < g.room() || g.standingBy(false) <= spares {
		return move{}
	}
	var best *seat
	for _, s := range g.servers {
		if s.Suffrage == raft.Voter {
			continue
		}
		if x := g.withoutServer(spec.NodeID(s.ID)); best == nil || x.before(*best) {
			best = &x
		}
	}
	return move{kind: expel, id: best.id}
}
