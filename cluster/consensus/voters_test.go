package consensus

import (
	"fmt"
	"slices"
	"testing"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// model is a group whose moves are carried out at once.
type model struct{ group }

// newModel has nodes a, b, c... of which the first so many are voters.
func newModel(nodes, voters int) *model {
	m := &model{group{self: "a", nodes: map[spec.NodeID]*wire.Node{}, alive: map[spec.NodeID]bool{}, dead: map[spec.NodeID]bool{}, current: map[spec.NodeID]bool{}}}
	for i := range nodes {
		id := spec.NodeID(rune('a' + i))
		m.nodes[id] = &wire.Node{Id: string(id), Roles: []string{"voter"}, Region: fmt.Sprint("r", i%2), Zone: "z",
			ClusterAddr: "addr-" + string(id), State: wire.NodeState_NODE_STATE_ACTIVE, JoinedMs: int64(i)}
		m.alive[id], m.current[id] = true, true
		if i < voters {
			m.servers = append(m.servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress("addr-" + string(id)), Suffrage: raft.Voter})
		}
	}
	return m
}

func (m *model) set(id string, state wire.NodeState) { m.nodes[spec.NodeID(id)].State = state }

func (m *model) lose(id spec.NodeID, long bool) { m.alive[id], m.dead[id] = false, long }

// carry carries a move out.
func (m *model) carry(mv move) {
	at := slices.IndexFunc(m.servers, func(s raft.Server) bool { return s.ID == raft.ServerID(mv.id) })
	switch mv.kind {
	case admit:
		m.servers = append(slices.Clone(m.servers), raft.Server{ID: raft.ServerID(mv.id), Address: raft.ServerAddress(mv.addr), Suffrage: raft.Nonvoter})
	case promote:
		m.servers[at].Suffrage = raft.Voter
	case expel:
		m.servers = slices.Delete(slices.Clone(m.servers), at, at+1)
	}
}

func (m *model) livingVoters() int {
	return m.count(func(s raft.Server, id spec.NodeID) bool { return s.Suffrage == raft.Voter && m.alive[id] })
}

// settle carries moves out until there is none, and returns them.
func (m *model) settle() (did []string) {
	for range 50 {
		mv := m.next()
		if mv.kind == stay || mv.kind == handOver {
			return append(did, mv.kind.String()+" "+string(mv.id))
		}
		did = append(did, mv.kind.String()+" "+string(mv.id))
		m.carry(mv)
	}
	return append(did, "never ends")
}

func TestChoiceOfVoters(t *testing.T) {
	for _, test := range []struct {
		name  string
		given func() *model
		want  []string
	}{
		{"one is all there is", func() *model { return newModel(1, 1) }, []string{"stay "}},
		{"the other region first", func() *model { return newModel(3, 1) }, []string{"admit b", "promote b", "admit c", "promote c", "stay "}},
		{"three are enough", func() *model { return newModel(5, 3) }, []string{"stay "}},
		{"a dead one keeps its place for a while", func() *model { m := newModel(4, 3); m.lose("b", false); return m }, []string{"stay "}},
		{"and loses it to one that lives", func() *model { m := newModel(4, 3); m.lose("b", true); return m }, []string{"admit d", "promote d", "expel b", "stay "}},
		{"or keeps it where there is none", func() *model { m := newModel(3, 3); m.lose("b", true); return m }, []string{"stay "}},
		{"a removed one goes", func() *model { m := newModel(3, 3); m.set("c", wire.NodeState_NODE_STATE_REMOVED); return m }, []string{"expel c", "stay "}},
		{"but not below a quorum", func() *model {
			m := newModel(3, 3)
			m.set("c", wire.NodeState_NODE_STATE_REMOVED)
			m.lose("b", false)
			return m
		}, []string{"stay "}},
		{"a removed leader hands over", func() *model { m := newModel(3, 3); m.set("a", wire.NodeState_NODE_STATE_REMOVED); return m }, []string{"hand over a"}},
		{"unless it is alone", func() *model { m := newModel(1, 1); m.set("a", wire.NodeState_NODE_STATE_REMOVED); return m }, []string{"stay "}},
		{"a draining one is not taken in", func() *model { m := newModel(2, 1); m.set("b", wire.NodeState_NODE_STATE_DRAINING); return m }, []string{"stay "}},
		{"but keeps its place", func() *model { m := newModel(3, 3); m.set("b", wire.NodeState_NODE_STATE_DRAINING); return m }, []string{"stay "}},
		{"one that lacks the log gets no vote", func() *model { m := newModel(2, 1); m.current["b"] = false; return m }, []string{"admit b", "stay "}},
		{"a worker gets none either", func() *model { m := newModel(2, 1); m.nodes["b"].Roles = []string{"worker"}; return m }, []string{"stay "}},
		{"one without a record has just been founded", func() *model { m := newModel(1, 1); delete(m.nodes, "a"); return m }, []string{"stay "}},
		{"a fourth voter is too many", func() *model { return newModel(4, 4) }, []string{"expel d", "stay "}},
		{"one that died before it had a vote", func() *model {
			m := newModel(3, 2)
			m.carry(move{admit, "c", "addr-c"})
			m.lose("c", true)
			return m
		}, []string{"expel c", "stay "}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.given().settle(); !slices.Equal(got, test.want) {
				t.Errorf("moves %q, want %q", got, test.want)
			}
		})
	}
}

// TestChoiceNeverLosesTheQuorum: whatever lives and dies, no move leaves living
// voters short of a quorum that they had, and moves come to an end with as many
// voters as can be had.
func TestChoiceNeverLosesTheQuorum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(rapid.IntRange(1, 7).Draw(t, "nodes"), 1)
		for round := range rapid.IntRange(1, 6).Draw(t, "rounds") {
			m.upset(t, round)
			if m.livingVoters() < quorum(m.voters()) {
				return // nobody leads, so nobody chooses
			}
			for i := 0; ; i++ {
				mv := m.next()
				if mv.kind == stay || mv.kind == handOver {
					break
				}
				if i > 40 {
					t.Fatalf("moves without end, now %v", mv)
				}
				m.carry(mv)
				if m.livingVoters() < quorum(m.voters()) {
					t.Fatalf("%v %s leaves %d living voters of %d", mv.kind, mv.id, m.livingVoters(), m.voters())
				}
			}
			m.checkSettled(t)
		}
	})
}

// upset changes who lives, what is known and what is wanted. The leader lives.
func (m *model) upset(t *rapid.T, round int) {
	for id, n := range m.nodes {
		what := rapid.IntRange(0, 9).Draw(t, fmt.Sprint(round, id))
		if id == m.self {
			continue
		}
		m.alive[id], m.dead[id] = true, false
		switch what {
		case 0:
			m.lose(id, false)
		case 1, 2:
			m.lose(id, true)
		case 3:
			n.State = wire.NodeState_NODE_STATE_REMOVED
		}
	}
}

func (m *model) checkSettled(t *rapid.T) {
	reliable, usable := 0, 0
	for id, n := range m.nodes {
		voter := slices.ContainsFunc(m.servers, func(s raft.Server) bool { return s.ID == raft.ServerID(id) && s.Suffrage == raft.Voter })
		if voter && !m.dead[id] {
			reliable++
		}
		if eligible(n) && (m.alive[id] || voter && !m.dead[id]) {
			usable++
		}
	}
	if want := min(voterTarget, usable); reliable < want {
		t.Fatalf("%d voters can be counted on, want %d: %v", reliable, want, m.servers)
	}
	if m.voters() > voterTarget && m.livingVoters() == m.voters() {
		t.Fatalf("%d voters: %v", m.voters(), m.servers)
	}
}
