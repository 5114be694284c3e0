package consensus

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// model is a group whose moves are carried out at once.
type model struct {
	group
	floor int // voters that deaths alone must leave, but for one that is being replaced
}

// newModel has nodes a, b, c... at the given places, each a region and a zone, of
// which the first so many are voters.
func newModel(voters int, places ...string) *model {
	m := &model{group: group{self: "a", most: 5, calm: true, nodes: map[spec.NodeID]*wire.Node{}, alive: map[spec.NodeID]bool{}, dead: map[spec.NodeID]bool{}, current: map[spec.NodeID]bool{}}}
	for i, place := range places {
		id := m.join(place)
		if i < voters {
			m.servers = append(m.servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress("addr-" + string(id)), Suffrage: raft.Voter})
		}
	}
	return m
}

// join adds a node that lives at the place.
func (m *model) join(place string) spec.NodeID {
	id := spec.NodeID(rune('a' + len(m.nodes)))
	m.nodes[id] = &wire.Node{Id: string(id), Roles: []string{"voter"}, Region: place[:1], Zone: place[1:],
		ClusterAddr: "addr-" + string(id), State: wire.NodeState_NODE_STATE_ACTIVE, JoinedMs: int64(len(m.nodes))}
	m.alive[id], m.current[id] = true, true
	return id
}

func (m *model) set(id string, state wire.NodeState) *model {
	m.nodes[spec.NodeID(id)].State = state
	return m
}

func (m *model) lose(id spec.NodeID, long bool) *model {
	m.alive[id], m.dead[id], m.current[id] = false, long, false
	return m
}

// behind lets the server lack the end of the log.
func (m *model) behind(id spec.NodeID) *model {
	m.current[id] = false
	return m
}

func (m *model) atMost(n int) *model {
	m.most = n
	return m
}

// spare makes the node a server without a vote.
func (m *model) spare(id spec.NodeID) *model {
	m.carry(move{admit, id, "addr-" + string(id)})
	return m
}

// carry carries a move out.
func (m *model) carry(mv move) {
	m.servers = slices.Clone(m.servers)
	at := slices.IndexFunc(m.servers, func(s raft.Server) bool { return s.ID == raft.ServerID(mv.id) })
	switch mv.kind {
	case admit:
		m.servers = append(m.servers, raft.Server{ID: raft.ServerID(mv.id), Address: raft.ServerAddress(mv.addr), Suffrage: raft.Nonvoter})
	case promote:
		m.servers[at].Suffrage = raft.Voter
	case demote:
		m.servers[at].Suffrage = raft.Nonvoter
	case expel:
		m.servers = slices.Delete(m.servers, at, at+1)
	}
}

// settle carries moves out until there is none, and returns them in short.
func (m *model) settle() string {
	var did []string
	for range 50 {
		mv := m.next()
		if mv.kind == stay {
			return strings.Join(did, ", ")
		}
		did = append(did, mv.kind.String()+" "+string(mv.id))
		if mv.kind == handOver {
			return strings.Join(did, ", ")
		}
		m.carry(mv)
	}
	return strings.Join(did, ", ") + ", and never ends"
}

func TestChoiceOfVoters(t *testing.T) {
	const removed, draining = wire.NodeState_NODE_STATE_REMOVED, wire.NodeState_NODE_STATE_DRAINING
	for _, test := range []struct {
		name  string
		given *model
		want  string
	}{
		{"one is all there is", newModel(1, "r1"), ""},
		{"of two one votes", newModel(1, "r1", "s1"), "admit b"},
		{"of three all do, the other region first", newModel(1, "r1", "r2", "s1"), "admit c, admit b, promote c, promote b"},
		{"of four three do", newModel(3, "r1", "s1", "r1", "s1"), "admit d"},
		{"of eight five do", newModel(3, "r1", "s1", "t1", "r2", "s2", "t2", "r3", "s3"), "admit d, admit e, promote d, promote e, admit f, admit g"},
		{"of five three, where no more are wanted", newModel(1, "r1", "s1", "t1", "r2", "s2").atMost(3), "admit b, admit c, promote b, promote c, admit d, admit e"},
		{"of five one", newModel(1, "r1", "s1", "t1", "r2", "s2").atMost(1), "admit b, admit c"},
		{"where fewer are wanted, those that stood badly go first", newModel(5, "r1", "r2", "s1", "s1", "t1").atMost(3), "demote d, demote b"},
		{"down to one, and two spares", newModel(3, "r1", "s1", "t1", "r1").atMost(1), "demote c, demote b"},
		{"a dead one keeps its place for a while", newModel(3, "r1", "s1", "r1", "s1").spare("d").lose("b", false), ""},
		{"and loses it to a spare", newModel(3, "r1", "s1", "r1", "s1").spare("d").lose("b", true), "expel b, promote d"},
		{"or keeps it where there is none", newModel(3, "r1", "s1", "r1").lose("b", true), ""},
		{"also of five", newModel(5, "r1", "s1", "r1", "s1", "r1").lose("b", true).lose("c", true), ""},
		{"until it is removed", newModel(5, "r1", "s1", "r1", "s1", "r1").lose("b", true).lose("c", true).set("c", removed), "expel c, expel b"},
		{"of equals, one that is away has no vote", newModel(5, "r1", "s1", "r1", "s1", "r1").set("c", removed).lose("b", false), "expel c, demote b"},
		{"a removed one goes, and one of the rest has no vote", newModel(5, "r1", "s1", "r1", "s1", "r1").set("c", removed), "expel c, demote e"},
		{"but not below a quorum", newModel(3, "r1", "s1", "r1", "t1").set("d", draining).set("c", removed).lose("b", false), ""},
		{"unless another votes first", newModel(3, "r1", "s1", "r1", "r2").set("c", removed).lose("b", true).spare("d"), "promote d, expel c"},
		{"a removed leader hands over", newModel(3, "r1", "s1", "r1").set("a", removed), "hand over a"},
		{"unless it is alone", newModel(1, "r1").set("a", removed), ""},
		{"and where it votes alone, to a spare", newModel(1, "r1", "s1").set("a", removed).spare("b"), "promote b, hand over a"},
		{"a draining one is not taken in", newModel(1, "r1", "s1").set("b", draining), ""},
		{"but keeps its place", newModel(3, "r1", "s1", "r1", "t1").spare("d").set("b", draining), ""},
		{"one that lacks the log gets no vote", lacking(newModel(1, "r1", "s1", "t1"), "b"), "admit b, admit c"},
		{"a worker gets none either", working(newModel(1, "r1", "s1"), "b"), ""},
		{"one without a record has just been founded", unknown(newModel(1, "r1")), ""},
		{"a spare that died makes room", newModel(3, "r1", "s1", "t1", "r1", "s1").spare("d").lose("d", true), "expel d, admit e"},
		{"three in a region are one too many", newModel(3, "r1", "r2", "r3", "s1").spare("d"), "promote d, demote c"},
		{"so are two, where there are three", newModel(3, "r1", "r2", "s1", "t1").spare("d"), "promote d, demote b"},
		{"and two in a rack", newModel(3, "r1", "r1", "s1", "r2").spare("d"), "promote d, demote b"},
		{"not while somebody is unwell", newModel(3, "r1", "r2", "r3", "s1").spare("d").lose("b", false), ""},
		{"nor while it is restless", restless(newModel(3, "r1", "r2", "r3", "s1").spare("d")), ""},
		{"one from outside becomes a server first, and a spare too many goes", newModel(3, "r1", "r1", "r1", "r1", "r1", "s1").atMost(3).spare("d").spare("e"), "admit f, promote f, demote c, expel e"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.given.settle(); got != test.want {
				t.Errorf("moves %q, want %q", got, test.want)
			}
		})
	}
}

func lacking(m *model, id spec.NodeID) *model {
	m.current[id] = false
	return m
}

func working(m *model, id spec.NodeID) *model {
	m.nodes[id].Roles = []string{"worker"}
	return m
}

func unknown(m *model) *model {
	clear(m.nodes)
	return m
}

func restless(m *model) *model {
	m.calm = false
	return m
}

// TestServersAreBounded: whoever else is a server, there are never more than so many.
func TestServersAreBounded(t *testing.T) {
	m := newModel(1, slices.Repeat([]string{"r1"}, maxServers+2)...)
	for i := range maxServers - 1 {
		id := spec.NodeID(rune('b' + i))
		m.spare(id).set(string(id), wire.NodeState_NODE_STATE_DRAINING)
	}
	m.calm = false
	if got := m.settle(); got != "" || len(m.servers) != maxServers {
		t.Errorf("with %d servers: %s", len(m.servers), got)
	}
	m.carry(move{kind: expel, id: "b"})
	if got := m.next(); got.kind != admit {
		t.Errorf("with one less: %v", got)
	}
}

func TestOddNumbers(t *testing.T) {
	for n, want := range []int{1, 1, 1, 3, 3, 5, 5, 7} {
		if got := odd(n); got != want {
			t.Errorf("odd(%d) = %d, want %d", n, got, want)
		}
	}
	if crowdingOf(nil) != (crowding{}) || fmt.Sprint(crowdingOf([]*wire.Node{{Region: "r", Zone: "1"}, {Region: "r", Zone: "1"}, {Region: "s", Zone: "1"}})) != "{5 5}" {
		t.Error("crowding")
	}
}
