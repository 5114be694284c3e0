package consensus

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// Position makes the tests' machine one that a Ground can have.
func (m *machine) Position() (index, term uint64) { return m.Index(), 0 }

func these(list ...*wire.Command) func() ([]*wire.Command, error) {
	return func() ([]*wire.Command, error) { return list, nil }
}

func setting(id, name, value string) *wire.Command {
	return &wire.Command{RequestId: id, Level: Level, Body: &wire.Command_PutSetting{PutSetting: &wire.PutSetting{Name: name, Value: value}}}
}

// ruins are what is left of a group of three: a log in which not all is applied.
func ruins(t *testing.T) (Ground, *machine) {
	t.Helper()
	logs, m := raft.NewInmemStore(), newMachine()
	three := raft.Configuration{Servers: []raft.Server{{ID: "a", Address: "a:1"}, {ID: "b", Address: "b:1"}, {ID: "c", Address: "c:1", Suffrage: raft.Nonvoter}}}
	list := []*raft.Log{{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(three)}}
	for i, name := range []string{"one", "two", "three"} {
		raw, err := proto.Marshal(setting(name, name, "set"))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, &raft.Log{Index: uint64(i + 2), Term: 4, Type: raft.LogCommand, Data: raw})
	}
	list = append(list, &raft.Log{Index: 5, Term: 6, Type: raft.LogNoop})
	if err := logs.StoreLogs(list); err != nil {
		t.Fatal(err)
	}
	if err := logs.SetUint64(currentTerm, 9); err != nil {
		t.Fatal(err)
	}
	m.Apply(list[1])
	return Ground{ID: "a", Addr: "a:1", Logs: logs, Stable: logs, Snapshots: raft.NewInmemSnapshotStore(), FSM: m}, m
}

func TestStandAlone(t *testing.T) {
	g, m := ruins(t)
	s, err := Examine(g)
	if err != nil || s.Index != 5 || s.Term != 9 || len(s.Servers) != 3 || len(s.Voters) != 2 || m.Index() != 2 {
		t.Fatalf("standing %+v (%v), state at %d", s, err, m.Index())
	}
	index, err := StandAlone(g, 1000, these(setting("new", "epoch", "1")))
	if err != nil || index != 1006 {
		t.Fatalf("index %d: %v", index, err)
	}
	if m.setting("three") != "set" || m.setting("epoch") != "1" || m.Index() != 1006 {
		t.Fatalf("the state lacks something: it is at %d", m.Index())
	}
	again, err := Examine(g)
	if err != nil || again.Index != 1006 || again.Term != 10 || len(again.Servers) != 1 || again.Servers[0] != "a" {
		t.Fatalf("standing afterwards %+v (%v)", again, err)
	}

	// raft itself goes on from there, and leads at once.
	c := newCluster(t)
	c.servers["a"] = &server{id: "a", fsm: m, store: g.Stable.(*raft.InmemStore), snaps: g.Snapshots}
	n := c.start("a")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := n.Propose(ctx, setting("later", "more", "yes"))
	if err != nil || r.GetIndex() <= 1006 || n.Term() <= 10 || m.setting("more") != "yes" {
		t.Fatalf("after the restart: %v, %v, term %d", r, err, n.Term())
	}
	if v := n.Voters(); len(v) != 1 || v[0] != spec.NodeID("a") {
		t.Fatalf("voters %v", v)
	}
}

func TestStandAloneStopsAtAGap(t *testing.T) {
	g, m := ruins(t)
	if err := g.Logs.DeleteRange(1, 3); err != nil {
		t.Fatal(err)
	}
	if _, err := StandAlone(g, 1000, these()); err == nil || !strings.Contains(err.Error(), "lost") || m.Index() != 2 {
		t.Fatalf("the state ends at 2, the log begins at 4: %v", err)
	}
}

func TestStandAloneTellsARefusal(t *testing.T) {
	g, _ := ruins(t)
	_, err := StandAlone(g, 0, these(&wire.Command{RequestId: "x", Body: &wire.Command_SetNodeState{SetNodeState: &wire.SetNodeState{Id: "none", State: wire.NodeState_NODE_STATE_REMOVED}}}))
	if err == nil || !strings.Contains(err.Error(), "not_found") {
		t.Fatalf("%v", err)
	}
	if _, err := StandAlone(g, 0, these()); err != nil {
		t.Fatalf("it cannot be repeated: %v", err)
	}
}
