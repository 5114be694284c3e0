package consensus

import (
	"testing"

	"github.com/hashicorp/raft"

	"github.com/lotabots/lotabots/cluster/spec"
)

// TestStateBehindItsSnapshot: a server that crashed after a leader's snapshot was
// stored, and before it was restored, has it restored at its next start.
func TestStateBehindItsSnapshot(t *testing.T) {
	t.Parallel()
	ahead := newMachine()
	ahead.d.Index, ahead.d.Settings["kept"] = 7, "yes"
	stored := raft.NewInmemSnapshotStore()
	port := newNetwork().listen(t, "n1", "")
	defer port.close()
	us := raft.Configuration{Servers: []raft.Server{{ID: "n1", Address: raft.ServerAddress(port.Addr())}}}
	_, transport := raft.NewInmemTransport("") // knows how to write addresses down
	sink, err := stored.Create(raft.SnapshotVersionMax, 7, 2, us, 1, transport)
	if err != nil {
		t.Fatal(err)
	}
	taken, err := ahead.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if err := taken.Persist(sink); err != nil {
		t.Fatal(err)
	}

	behind, disk := newMachine(), raft.NewInmemStore()
	c, err := Open(Config{ID: spec.NodeID("n1"), Port: port, Logs: disk, Stable: disk, Snapshots: stored, FSM: behind, Nodes: behind.nodes,
		Alive: func(spec.NodeID) bool { return true }})
	if err != nil {
		t.Fatal(err)
	}
	if behind.Index() != 7 || behind.setting("kept") != "yes" {
		t.Errorf("the state is at %d and has %q", behind.Index(), behind.setting("kept"))
	}
	if err := c.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
