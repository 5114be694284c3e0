package consensus

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

const mostNodes = 11 // that ever join one model

// TestVotersWhateverHappens has nodes join, die, return, move, drain and leave
// while a leader makes its moves, and leaders die. No move ever costs a quorum or
// the tolerance of a death, deaths cost no votes, and whenever nothing happens
// the moves come to an end. Once all are well again, there are as many voters as
// there should be, spread as well as can be, and spares.
func TestVotersWhateverHappens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(1, drawPlace(t))
		m.most = rapid.SampledFrom([]int{5, 5, 3, 1}).Draw(t, "most")
		for range rapid.IntRange(1, 8).Draw(t, "rounds") {
			m.floor = m.voters()
			for range rapid.IntRange(1, 12).Draw(t, "steps") {
				if rapid.IntRange(0, 2).Draw(t, "what") == 0 {
					m.happen(t)
				} else {
					m.step(t)
				}
			}
			m.catchUp()
			m.calm = true
			had := m.voters()
			m.finish(t)
			m.checkQuiet(t, had)
		}
		m.heal()
		m.finish(t)
		m.checkWell(t)
	})
}

func drawPlace(t *rapid.T) string {
	return rapid.SampledFrom([]string{"r1", "r1", "r2", "s1", "s2", "t1"}).Draw(t, "place")
}

// happen changes who lives, what is known and what is wanted.
func (m *model) happen(t *rapid.T) {
	id := rapid.SampledFrom(slices.Sorted(maps.Keys(m.nodes))).Draw(t, "node")
	n := m.nodes[id]
	switch rapid.IntRange(0, 11).Draw(t, "event") {
	case 0, 1, 2:
		if len(m.nodes) < mostNodes {
			m.join(drawPlace(t))
		}
	case 3:
		m.lose(id, false)
	case 4, 5:
		m.lose(id, true)
	case 6, 7:
		m.alive[id], m.dead[id] = true, false
	case 8:
		others := 0
		for _, o := range m.nodes {
			if o != n && eligible(o) {
				others++
			}
		}
		if others > 0 && m.led() {
			if n.State != wire.NodeState_NODE_STATE_REMOVED && m.votes(id) {
				m.floor--
			}
			n.State = wire.NodeState_NODE_STATE_REMOVED
		}
	case 9:
		if n.State == wire.NodeState_NODE_STATE_ACTIVE {
			n.State = wire.NodeState_NODE_STATE_DRAINING
		} else if n.State == wire.NodeState_NODE_STATE_DRAINING {
			n.State = wire.NodeState_NODE_STATE_ACTIVE
		}
	case 10:
		place := drawPlace(t)
		n.Region, n.Zone = place[:1], place[1:]
	case 11:
		m.most = rapid.SampledFrom([]int{5, 5, 3, 1}).Draw(t, "most")
	}
	m.floor = min(m.floor, m.recorded())
	m.calm = rapid.Bool().Draw(t, "calm")
	m.catchUp()
}

// led tells whether there is a quorum, and has one of it lead.
func (m *model) led() bool {
	living := m.livingVoters()
	if len(living) < quorum(m.count(func(s raft.Server, _ spec.NodeID) bool { return voter(s) })) {
		return false
	}
	if !slices.Contains(living, m.self) {
		m.self = living[0]
	}
	return true
}

func (m *model) livingVoters() []spec.NodeID {
	var out []spec.NodeID
	for _, s := range m.servers {
		if voter(s) && m.alive[spec.NodeID(s.ID)] {
			out = append(out, spec.NodeID(s.ID))
		}
	}
	return out
}

func (m *model) catchUp() {
	for id := range m.nodes {
		m.current[id] = m.alive[id] && isServer(m.servers, id)
	}
}

// recorded is how many voters there should be when all are well.
func (m *model) recorded() int {
	n := 0
	for _, r := range m.nodes {
		if r.State != wire.NodeState_NODE_STATE_REMOVED {
			n++
		}
	}
	return []int{1, 1, 1, 3, 3, 5}[min(n, m.most)]
}

// tolerance is how many voters may die.
func (m *model) tolerance() int {
	return len(m.livingVoters()) - quorum(m.count(func(s raft.Server, _ spec.NodeID) bool { return voter(s) }))
}

// step makes one move, if somebody leads, and checks it.
func (m *model) step(t *rapid.T) (moved bool) {
	if !m.led() {
		return false
	}
	mv, before, wanted := m.next(), m.tolerance(), m.voters() > m.recorded()
	switch n := m.nodes[mv.id]; mv.kind {
	case stay:
		return false
	case handOver:
		if mv.id != m.self || m.mayVote(m.self) {
			t.Fatalf("%s hands over", m.self)
		}
		for _, id := range m.livingVoters() {
			if m.mayVote(id) {
				m.self = id
				return true
			}
		}
		t.Fatalf("there is nobody to hand over to: %v", m)
	case promote, admit:
		if !m.alive[mv.id] || n.GetState() != wire.NodeState_NODE_STATE_ACTIVE || mv.addr == "" || mv.kind == promote && !m.current[mv.id] {
			t.Fatalf("%v of %s, which is no fit node: %v", mv.kind, mv.id, m)
		}
	case demote, expel:
		if mv.id == m.self {
			t.Fatalf("%v of the leader", mv.kind)
		}
	}
	m.carry(mv)
	if m.tolerance() < 0 {
		t.Fatalf("%v %s has cost the quorum: %v", mv.kind, mv.id, m)
	}
	if m.tolerance() < before && !wanted && m.mayVote(mv.id) {
		t.Fatalf("%v %s has cost the tolerance of a death: %v", mv.kind, mv.id, m)
	}
	if len(m.servers) > mostNodes {
		t.Fatalf("%d servers", len(m.servers))
	}
	return true
}

// finish makes moves until there is none.
func (m *model) finish(t *rapid.T) {
	for range 30 {
		if !m.step(t) {
			return
		}
		m.catchUp()
	}
	t.Fatalf("moves without end: %v", m)
}

// checkQuiet is what holds while some may be dead.
func (m *model) checkQuiet(t *rapid.T, had int) {
	if !m.led() {
		return
	}
	if v := m.voters(); v > m.recorded() && m.tolerance() > 0 || v > had && v > m.room() || v < m.floor-1 {
		t.Fatalf("%d voters of %d, and %d before: %v", v, m.recorded(), m.floor, m)
	}
	for _, s := range m.servers {
		if id := spec.NodeID(s.ID); m.dead[id] && (!voter(s) || m.voters()%2 == 1 && len(m.ready()) > 0) {
			t.Fatalf("%s is dead and in the way: %v", id, m)
		}
	}
	if have, ok := m.standingBy(false), len(m.outside()); have < spares && ok > 0 {
		t.Fatalf("%d spares, though %d nodes could be: %v", have, ok, m)
	}
}

// heal has everybody live who was not removed.
func (m *model) heal() {
	for id, n := range m.nodes {
		m.alive[id], m.dead[id] = true, false
		if n.State == wire.NodeState_NODE_STATE_DRAINING {
			n.State = wire.NodeState_NODE_STATE_ACTIVE
		}
	}
	m.calm = true
	m.catchUp()
}

// checkWell is what holds when all are well.
func (m *model) checkWell(t *rapid.T) {
	var all []*wire.Node
	for _, n := range m.nodes {
		if eligible(n) {
			all = append(all, n)
		}
	}
	want := m.recorded()
	votes := m.count(func(s raft.Server, _ spec.NodeID) bool { return voter(s) })
	if votes != want || m.voters() != want || len(m.servers) != min(len(all), want+spares) {
		t.Fatalf("%d nodes could vote; want %d voters and %d spares: %v", len(all), want, spares, m)
	}
	if got, best := crowdingOf(m.seated("", voter)), leastCrowded(all, want); got != best {
		t.Fatalf("the voters are crowded by %v, and could be by %v: %v", got, best, m)
	}
}

// leastCrowded tries every choice of so many nodes.
func leastCrowded(all []*wire.Node, choose int) crowding {
	best := crowding{1 << 30, 1 << 30}
	var try func(from int, chosen []*wire.Node)
	try = func(from int, chosen []*wire.Node) {
		if len(chosen) == choose {
			if c := crowdingOf(chosen); c.compare(best) < 0 {
				best = c
			}
			return
		}
		for i := from; i < len(all); i++ {
			try(i+1, append(slices.Clip(chosen), all[i]))
		}
	}
	try(0, nil)
	return best
}

func (m *model) String() string {
	out := fmt.Sprintf("leader %s, most %d, calm %v:", m.self, m.most, m.calm)
	for _, id := range slices.Sorted(maps.Keys(m.nodes)) {
		n, role := m.nodes[id], "node"
		switch {
		case m.votes(id):
			role = "voter"
		case isServer(m.servers, id):
			role = "spare"
		}
		out += fmt.Sprintf("\n %s %s %s%s %s alive %v, dead %v, current %v", id, role, n.Region, n.Zone, n.State, m.alive[id], m.dead[id], m.current[id])
	}
	return out
}
