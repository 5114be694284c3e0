package consensus

import (
	"cmp"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// crowding tells how badly nodes are spread, less being better: over regions
// first, then over the zones in them. It is the sum of the squares of how many
// there are in each. Because such sums are convex, nodes that no exchange of one
// spreads better are spread as well as can be.
type crowding struct{ regions, zones int }

func (c crowding) compare(d crowding) int {
	return cmp.Or(cmp.Compare(c.regions, d.regions), cmp.Compare(c.zones, d.zones))
}

func crowdingOf(nodes []*wire.Node) crowding {
	type zone struct{ region, name string }
	regions, zones := map[string]int{}, map[zone]int{}
	var c crowding
	for _, n := range nodes {
		r, z := n.GetRegion(), zone{n.GetRegion(), n.GetZone()}
		c.regions += 2*regions[r] + 1
		c.zones += 2*zones[z] + 1
		regions[r]++
		zones[z]++
	}
	return c
}

// A seat is a node to be taken in, or to be let go, and what comes of it.
type seat struct {
	id      spec.NodeID
	addr    string
	gone    int  // 1: away, 2: for long
	outside bool // is no server
	left    crowding
	age     int64 // by which the order is the same on every leader
}

// before tells whether x is the better choice.
func (x seat) before(y seat) bool {
	if x.gone != y.gone {
		return x.gone > y.gone
	}
	if x.outside != y.outside && x.left.compare(y.left) == 0 {
		return y.outside
	}
	return cmp.Or(x.left.compare(y.left), cmp.Compare(x.age, y.age), cmp.Compare(x.id, y.id)) < 0
}

func (x seat) promotion() move {
	if x.id == "" {
		return move{}
	}
	return move{kind: promote, id: x.id, addr: x.addr}
}

func (x seat) admission(g group) move {
	if x.id == "" || len(g.servers) >= maxServers {
		return move{}
	}
	return move{kind: admit, id: x.id, addr: x.addr}
}

// seated are the records of the servers that ok says, but for the dead, and but for one.
func (g group) seated(but spec.NodeID, ok func(raft.Server) bool) []*wire.Node {
	var out []*wire.Node
	for _, s := range g.servers {
		if id := spec.NodeID(s.ID); id != but && ok(s) && !g.dead[id] && g.mayVote(id) {
			out = append(out, g.nodes[id])
		}
	}
	return out
}

func voter(s raft.Server) bool   { return s.Suffrage == raft.Voter }
func anyServer(raft.Server) bool { return true }

// best is whom to take of ids, which all are servers or all are not: into the
// voters the servers, into the servers the others.
func (g group) best(ids []spec.NodeID) seat {
	var best seat
	for _, id := range ids {
		of := anyServer
		if isServer(g.servers, id) {
			of = voter
		}
		if x := g.with(id, g.seated(id, of)); best.id == "" || x.before(best) {
			best = x
		}
	}
	return best
}

func (g group) with(id spec.NodeID, others []*wire.Node) seat {
	n := g.nodes[id]
	return seat{id: id, addr: n.GetClusterAddr(), outside: !isServer(g.servers, id), age: n.GetJoinedMs(),
		left: crowdingOf(append(slices.Clip(others), n))}
}

// without is the seat of a voter that is to lose its vote: of equals, the newest.
func (g group) without(id spec.NodeID) seat { return g.vacated(id, voter) }

// withoutServer is the seat of one that is to be no server any more.
func (g group) withoutServer(id spec.NodeID) seat { return g.vacated(id, anyServer) }

func (g group) vacated(id spec.NodeID, of func(raft.Server) bool) seat {
	x := seat{id: id, age: -g.nodes[id].GetJoinedMs(), left: crowdingOf(g.seated(id, of))}
	switch {
	case g.dead[id]:
		x.gone = 2
	case !g.alive[id]:
		x.gone = 1
	}
	return x
}

// exchange finds the living node that the voters are spread best with, if it
// takes the place of one that is not the leader, and better than they are.
func (g group) exchange() (seat, bool) {
	var best seat
	now := crowdingOf(g.seated("", voter))
	for id := range g.nodes {
		if !g.usable(id) || !g.alive[id] || g.votes(id) {
			continue
		}
		for _, s := range g.servers {
			if !voter(s) || spec.NodeID(s.ID) == g.self {
				continue
			}
			x := g.with(id, g.seated(spec.NodeID(s.ID), voter))
			if x.left.compare(now) < 0 && (best.id == "" || x.before(best)) {
				best = x
			}
		}
	}
	return best, best.id != ""
}
