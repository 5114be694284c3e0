package snapshot

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// TestRaftStartsFromASnapshot has Raft itself take a snapshot, drop its log, and
// start again from the snapshot alone.
func TestRaftStartsFromASnapshot(t *testing.T) {
	dir := t.TempDir()
	logs := raft.NewInmemStore()
	run := func() (*raft.Raft, *raft.MockFSM, *Store) {
		c := raft.DefaultConfig()
		c.LocalID, c.TrailingLogs, c.LogOutput = "n1", 0, io.Discard
		c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
		addr, transport := raft.NewInmemTransport("")
		s, fsm := open(t, dir), &raft.MockFSM{}
		only := raft.Configuration{Servers: []raft.Server{{ID: "n1", Address: addr}}}
		if err := raft.BootstrapCluster(c, logs, logs, s, transport, only); err != nil && !errors.Is(err, raft.ErrCantBootstrap) {
			t.Fatal(err)
		}
		r, err := raft.NewRaft(c, fsm, logs, logs, s, transport)
		if err != nil {
			t.Fatal(err)
		}
		return r, fsm, s
	}
	r, _, s := run()
	select {
	case <-r.LeaderCh():
	case <-time.After(time.Minute):
		t.Fatal("no leader")
	}
	for i := range 20 {
		if err := r.Apply(fmt.Append(nil, "entry ", i), 10*time.Second).Error(); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	if err := r.Shutdown().Error(); err != nil {
		t.Fatal(err)
	}
	if first, _ := logs.FirstIndex(); first > 0 && first <= 20 {
		t.Fatalf("the log begins at %d: the test shows nothing", first)
	}
	if got := indexes(t, s); len(got) != 1 {
		t.Fatalf("listed %v", got)
	}
	r, fsm, _ := run()
	if got := fsm.Logs(); len(got) != 20 || string(got[19]) != "entry 19" {
		t.Errorf("%d entries were restored", len(got))
	}
	if err := r.Shutdown().Error(); err != nil {
		t.Fatal(err)
	}
}
