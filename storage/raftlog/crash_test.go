package raftlog_test

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"github.com/lotabots/lotabots/storage"
	"github.com/lotabots/lotabots/storage/raftlog"
)

// crash is the log as it may be after losing power now, with more or less of
// what was not synced.
func crash(t *testing.T, fs *vfs.MemFS, seed uint64, percent int) (*raftlog.Store, func()) {
	t.Helper()
	clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(seed, 1))})
	db, err := storage.Open("db", storage.Options{FS: clone})
	must(t, err)
	return raftlog.New(db), func() { db.Close() }
}

// TestAcknowledgedSurvives loses power while entries are being written: every
// batch that was acknowledged is there whole, and one that was not is there whole
// or not at all.
func TestAcknowledgedSurvives(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := store(t, fs)
	const crashes, size, most = 30, 4, 4000
	var acknowledged atomic.Uint64
	crashed := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for first := uint64(1); first < most; first += size {
			if err := s.StoreLogs(entries(first, first+size-1, 1)); err != nil {
				t.Error(err)
				return
			}
			acknowledged.Store(first + size - 1)
			select {
			case <-crashed:
				return
			case <-time.After(time.Millisecond): // so that crashes come between writes, too
			}
		}
	})
	defer writer.Wait()
	defer close(crashed)
	for acknowledged.Load() == 0 && !t.Failed() {
		runtime.Gosched()
	}
	for seed := range uint64(crashes) {
		before := acknowledged.Load()
		after, done := crash(t, fs, seed, int(seed%3)*50)
		last, err := after.LastIndex()
		must(t, err)
		if last < before || last%size != 0 {
			t.Fatalf("%d was acknowledged, and the log ends at %d", before, last)
		}
		for _, l := range entries(last-min(last-1, 50), last, 1) {
			checkEntry(t, after, l)
		}
		done()
	}
}

// TestVariablesSurvive: a server that forgets its vote may vote twice.
func TestVariablesSurvive(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := store(t, fs)
	for i := range uint64(5) {
		must(t, s.SetUint64([]byte("LastVoteTerm"), i))
		after, done := crash(t, fs, i, 0)
		if got, err := after.GetUint64([]byte("LastVoteTerm")); err != nil || got != i {
			t.Fatalf("the variable is %d (%v), and %d was acknowledged", got, err, i)
		}
		done()
	}
}

// TestDeletedStaysDeleted: a tail that Raft has replaced must not come back.
func TestDeletedStaysDeleted(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := store(t, fs)
	must(t, s.StoreLogs(entries(1, 30, 1)))
	must(t, s.DeleteRange(21, 30))
	must(t, s.DeleteRange(1, 10))
	after, done := crash(t, fs, 1, 0)
	checkBounds(t, after, 11, 20)
	done()
	must(t, s.StoreLogs(entries(21, 25, 2)))
	after, done = crash(t, fs, 2, 0)
	defer done()
	checkBounds(t, after, 11, 25)
	for _, l := range append(entries(11, 20, 1), entries(21, 25, 2)...) {
		checkEntry(t, after, l)
	}
}

// TestCompactionWhileAppending deletes the front while the end grows, as Raft does.
func TestCompactionWhileAppending(t *testing.T) {
	s := store(t, vfs.NewMem())
	must(t, s.StoreLogs(entries(1, 10, 1)))
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := uint64(11); i <= 500; i++ {
			if err := s.StoreLog(entries(i, i, 1)[0]); err != nil {
				t.Error(err)
			}
		}
	})
	for i := uint64(1); i < 10; i++ {
		must(t, s.DeleteRange(i, i))
		if first, err := s.FirstIndex(); err != nil || first != i+1 {
			t.Fatalf("the log begins at %d (%v), want %d", first, err, i+1)
		}
		if last, err := s.LastIndex(); err != nil || s.GetLog(last, &raft.Log{}) != nil {
			t.Fatalf("the log ends at %d (%v), which is not there", last, err)
		}
	}
	writer.Wait()
	checkBounds(t, s, 10, 500)
}
