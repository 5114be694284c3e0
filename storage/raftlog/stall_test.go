package raftlog_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"github.com/lotabots/lotabots/storage"
	"github.com/lotabots/lotabots/storage/diskfault"
	"github.com/lotabots/lotabots/storage/raftlog"
)

const soon = 400 * time.Millisecond // how long the disk is given

// faulty is a log on a disk that can stand still, and the memory behind the disk.
func faulty(t *testing.T) (*raftlog.Store, *diskfault.Disk, *vfs.MemFS, *storage.DB) {
	t.Helper()
	memory := vfs.NewCrashableMem()
	disk := diskfault.New(memory)
	db, err := storage.Open("db", storage.Options{FS: disk, StallLimit: soon})
	must(t, err)
	t.Cleanup(func() { disk.Resume(); db.Close() })
	return raftlog.New(db), disk, memory, db
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("never: %s", what)
		}
	}
}

func healthy(db *storage.DB) func() bool { return func() bool { return db.Health() == nil } }

// TestStuckEntries: what StoreLogs has given up is not in the log, neither while
// the disk stands still nor after, and its place is free.
func TestStuckEntries(t *testing.T) {
	s, disk, memory, db := faulty(t)
	must(t, s.StoreLogs(entries(1, 10, 1)))
	disk.Stall()
	if err := s.StoreLogs(entries(11, 13, 1)); !errors.Is(err, storage.ErrStalled) || errors.Is(err, storage.ErrRefused) {
		t.Fatalf("storing on a disk that stands still: %v", err)
	}
	if err := s.StoreLogs(entries(11, 11, 1)); !errors.Is(err, storage.ErrRefused) {
		t.Fatalf("storing while an earlier write is stuck: %v", err)
	}
	checkBounds(t, s, 1, 10)
	if err := s.GetLog(11, &raft.Log{}); !errors.Is(err, raft.ErrLogNotFound) {
		t.Fatalf("an entry whose fate is unknown: %v", err)
	}
	for seed := range uint64(9) { // power is lost while it is stuck: all of it or nothing
		after, done := crash(t, memory, seed, int(seed%3)*50)
		if last, err := after.LastIndex(); err != nil || last != 10 && last != 13 {
			t.Errorf("the log ends at %d (%v) after a crash", last, err)
		}
		done()
	}
	set := make(chan error, 1)
	go func() { set <- s.SetUint64([]byte("CurrentTerm"), 2) }()
	select {
	case err := <-set:
		t.Fatalf("a term was kept on a disk that stands still: %v", err)
	case <-time.After(2 * soon):
	}
	disk.Resume()
	must(t, <-set)
	eventually(t, "writes are taken", healthy(db))
	must(t, s.StoreLogs(entries(11, 12, 2)))
	after, done := crash(t, memory, 99, 0)
	defer done()
	checkBounds(t, after, 1, 12)
	for _, l := range append(entries(1, 10, 1), entries(11, 12, 2)...) {
		checkEntry(t, after, l)
	}
}

// TestReplacedTailWaits: Raft forgets after an error that it has deleted a tail,
// so the write that replaces it must not fail.
func TestReplacedTailWaits(t *testing.T) {
	s, disk, _, db := faulty(t)
	must(t, s.StoreLogs(entries(1, 10, 1)))
	must(t, s.DeleteRange(6, 10))
	disk.Stall()
	stored := make(chan error, 1)
	go func() { stored <- s.StoreLogs(entries(6, 7, 2)) }()
	eventually(t, "the disk is known to be stalled", func() bool { return errors.Is(db.Health(), storage.ErrStalled) })
	select {
	case err := <-stored:
		t.Fatalf("%v", err)
	case <-time.After(2 * soon):
	}
	disk.Resume()
	must(t, <-stored)
	checkBounds(t, s, 1, 7)
	eventually(t, "writes are taken", healthy(db))
	disk.Stall() // only the first write after the deletion waits
	if err := s.StoreLogs(entries(8, 8, 2)); !errors.Is(err, storage.ErrStalled) {
		t.Fatalf("%v", err)
	}
}

// TestDeletionWaits: compaction on a disk that stands still does not keep
// StoreLogs from answering.
func TestDeletionWaits(t *testing.T) {
	s, disk, _, db := faulty(t)
	must(t, s.StoreLogs(entries(1, 10, 1)))
	disk.Stall()
	deleted := make(chan error, 1)
	go func() { deleted <- s.DeleteRange(1, 5) }()
	eventually(t, "the deletion stands still", func() bool { return disk.Waiting() > 0 })
	if err := s.StoreLogs(entries(11, 11, 1)); !errors.Is(err, storage.ErrStalled) || !errors.Is(err, storage.ErrRefused) {
		t.Fatalf("%v", err)
	}
	disk.Resume()
	must(t, <-deleted)
	checkBounds(t, s, 6, 10)
	eventually(t, "writes are taken", healthy(db))
	must(t, s.StoreLogs(entries(11, 11, 1)))
}

// TestFailedSync: the log takes nothing more, and can be read.
func TestFailedSync(t *testing.T) {
	s, disk, memory, _ := faulty(t)
	must(t, s.StoreLogs(entries(1, 3, 1)))
	disk.Fail()
	if err := s.StoreLogs(entries(4, 5, 1)); !errors.Is(err, storage.ErrFailed) || errors.Is(err, storage.ErrRefused) {
		t.Fatalf("storing where the sync fails: %v", err)
	}
	if err := s.StoreLogs(entries(4, 4, 1)); !errors.Is(err, storage.ErrFailed) || !errors.Is(err, storage.ErrRefused) {
		t.Fatalf("storing after that: %v", err)
	}
	checkBounds(t, s, 1, 3)
	for _, l := range entries(1, 3, 1) {
		checkEntry(t, s, l)
	}
	clone := memory.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(1, 1))})
	db, err := storage.Open("db", storage.Options{FS: clone})
	must(t, err)
	defer db.Close()
	if last, err := raftlog.New(db).LastIndex(); err != nil || last != 3 && last != 5 {
		t.Fatalf("opened again, the log ends at %d (%v)", last, err)
	}
}

type server struct {
	*raft.Raft
	disk *diskfault.Disk
	db   *storage.DB
}

// group starts Raft servers on disks that can stand still.
func group(t *testing.T, ids ...raft.ServerID) []*server {
	t.Helper()
	var servers []*server
	var members []raft.Server
	var transports []*raft.InmemTransport
	for _, id := range ids {
		addr, transport := raft.NewInmemTransport("")
		for _, other := range transports {
			other.Connect(addr, transport)
			transport.Connect(other.LocalAddr(), other)
		}
		transports, members = append(transports, transport), append(members, raft.Server{ID: id, Address: addr})
	}
	for i, id := range ids {
		disk := diskfault.New(vfs.NewMem())
		db, err := storage.Open("db", storage.Options{FS: disk, StallLimit: 500 * time.Millisecond})
		must(t, err)
		s := raftlog.New(db)
		c := raft.DefaultConfig()
		c.LocalID, c.LogOutput, c.NoLegacyTelemetry = id, io.Discard, true
		c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = 500*time.Millisecond, 500*time.Millisecond, 400*time.Millisecond
		r, err := raft.NewRaft(c, nothing{}, s, s, raft.NewDiscardSnapshotStore(), transports[i])
		must(t, err)
		must(t, r.BootstrapCluster(raft.Configuration{Servers: members}).Error())
		servers = append(servers, &server{r, disk, db})
		t.Cleanup(func() {
			disk.Resume()
			ended := r.Shutdown()
			if !errors.Is(db.Health(), storage.ErrFailed) { // it may wait for ever to keep its term
				_ = ended.Error()
				db.Close()
			}
		})
	}
	return servers
}

func leader(t *testing.T, among []*server) (found *server) {
	t.Helper()
	eventually(t, "one leads", func() bool {
		for _, s := range among {
			if s.State() == raft.Leader && s.VerifyLeader().Error() == nil {
				found = s
				return true
			}
		}
		return false
	})
	return found
}

type nothing struct{}

func (nothing) Apply(*raft.Log) any                 { return nil }
func (nothing) Snapshot() (raft.FSMSnapshot, error) { return nothing{}, nil }
func (nothing) Restore(r io.ReadCloser) error       { return r.Close() }
func (nothing) Persist(s raft.SnapshotSink) error   { return s.Close() }
func (nothing) Release()                            {}

// TestLeaderWithStalledDisk: the others elect a new leader although the old one
// is there and hears them; once its disk moves on it follows with the same log.
func TestLeaderWithStalledDisk(t *testing.T) {
	for name, fault := range map[string]func(*diskfault.Disk){"stalled": (*diskfault.Disk).Stall, "failing": (*diskfault.Disk).Fail} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servers := group(t, "a", "b", "c")
			var old *server
			eventually(t, "a leader writes", func() bool {
				old = leader(t, servers)
				return old.Apply([]byte("before"), 0).Error() == nil
			})
			fault(old.disk)
			begin := time.Now()
			err := old.Apply([]byte("stuck"), 0).Error()
			if !errors.Is(err, storage.ErrStalled) && !errors.Is(err, storage.ErrFailed) {
				t.Fatalf("a write on the leader: %v", err)
			}
			var others []*server
			for _, s := range servers {
				if s != old {
					others = append(others, s)
				}
			}
			var now *server
			eventually(t, "another leader writes", func() bool {
				now = leader(t, others)
				return now.Apply([]byte("after"), 0).Error() == nil
			})
			if took := time.Since(begin); took > 20*time.Second { // 5 s on a machine that is not overloaded
				t.Errorf("a new leader wrote after %v", took)
			}
			if name == "failing" {
				return
			}
			old.disk.Resume()
			eventually(t, "the old leader has caught up", func() bool { return old.AppliedIndex() >= now.CommitIndex() && old.db.Health() == nil })
			eventually(t, "the end is written", func() bool {
				now = leader(t, servers)
				return now.Apply([]byte("end"), 0).Error() == nil
			})
			eventually(t, "the logs are equal", func() bool { return old.LastIndex() == now.LastIndex() })
		})
	}
}
