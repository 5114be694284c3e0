package state

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage/raftlog"
)

// snapshots keeps the newest snapshot over restarts, as the files do.
type snapshots struct {
	*raft.InmemSnapshotStore
}

// A server is one Raft server on its own disk.
type server struct {
	*replica
	raft      *raft.Raft
	snapshots snapshots
	transport *raft.InmemTransport
}

func serve(t testing.TB, id string, fs vfs.FS, keep snapshots, transport *raft.InmemTransport) *server {
	t.Helper()
	r := start(t, fs, usual)
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(id)
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = 300*time.Millisecond, 300*time.Millisecond, 200*time.Millisecond
	c.CommitTimeout = 5 * time.Millisecond
	c.NoSnapshotRestoreOnStart, c.NoLegacyTelemetry = true, true
	c.TrailingLogs, c.SnapshotThreshold, c.SnapshotInterval = 5, 1<<40, time.Hour
	c.Logger = hclog.NewNullLogger()
	logs := raftlog.New(r.db)
	n, err := raft.NewRaft(c, r.Store, logs, logs, keep, transport)
	try(t, err)
	return &server{r, n, keep, transport}
}

func (s *server) stop(t testing.TB) {
	t.Helper()
	try(t, s.raft.Shutdown().Error())
	try(t, s.transport.Close())
	try(t, s.db.Close())
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("timed out: %s", what)
		}
	}
}

func (s *server) propose(t testing.TB, c *wire.Command) *wire.Result {
	t.Helper()
	f := s.raft.Apply(encode(t, c), 10*time.Second)
	try(t, f.Error())
	return f.Response().(*wire.Result)
}

// TestUnderRaft runs a real server over the log, the stable store and the state,
// compacts its log, crashes it, and has a second server catch up by snapshot.
func TestUnderRaft(t *testing.T) {
	fs := vfs.NewCrashableMem()
	keep := snapshots{raft.NewInmemSnapshotStore()}
	address, transport := raft.NewInmemTransport("")
	a := serve(t, "a", fs, keep, transport)
	try(t, a.raft.BootstrapCluster(raft.Configuration{Servers: []raft.Server{{ID: "a", Address: address}}}).Error())
	eventually(t, "a leads", func() bool { return a.raft.State() == raft.Leader })
	for i := range 60 {
		a.propose(t, putSetting(fmt.Sprint(i%7), fmt.Sprint(i)))
		if i == 30 {
			try(t, a.raft.Snapshot().Error())
		}
	}
	last := a.propose(t, putKey("k1", "acme", "one"))
	hash, at := a.Hash()
	if last.GetIndex() != at || a.Index() != at {
		t.Fatalf("the last write was answered at %d, and the state is at %d", last.GetIndex(), at)
	}
	disk := fs.CrashClone(vfs.CrashCloneCfg{})
	a.stop(t)

	address, transport = raft.NewInmemTransport(address)
	a = serve(t, "a", disk, keep, transport)
	defer func() { a.stop(t) }()
	eventually(t, "a leads again", func() bool { return a.raft.State() == raft.Leader })
	try(t, a.raft.Barrier(0).Error())
	if now, index := a.Hash(); index != at || !bytes.Equal(now, hash) {
		t.Fatalf("after the crash the state is at %d, and was at %d", index, at)
	}

	second, more := raft.NewInmemTransport("")
	transport.Connect(second, more)
	more.Connect(address, transport)
	b := serve(t, "b", vfs.NewMem(), snapshots{raft.NewInmemSnapshotStore()}, more)
	defer func() { b.stop(t) }()
	var mu sync.Mutex
	reset := false
	b.Subscribe(func(c Change) { mu.Lock(); reset = reset || c.Reset; mu.Unlock() })
	try(t, a.raft.Snapshot().Error()) // the log no longer has what b needs
	try(t, a.raft.AddVoter("b", second, 0, 0).Error())
	a.propose(t, putSetting("last", "one"))
	eventually(t, "b has caught up", func() bool { return b.Index() == a.Index() })
	sameHash(t, "both servers", a.Store, b.Store)
	mu.Lock()
	defer mu.Unlock()
	if !reset {
		t.Error("b caught up without a snapshot: this test shows less than it should")
	}
}

// Restore must close what it is given.
func TestRestoreCloses(t *testing.T) {
	r := newReplica(t)
	c := &closer{Reader: bytes.NewReader(nil)}
	if err := r.Restore(c); err == nil || !c.closed {
		t.Fatalf("an empty snapshot: %v, closed: %v", err, c.closed)
	}
}

type closer struct {
	io.Reader
	closed bool
}

func (c *closer) Close() error { c.closed = true; return nil }
