package state

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"

	"github.com/lotabots/lotabots/storage"
	"github.com/lotabots/lotabots/storage/raftlog"
)

// crashes is how many times the power is lost in TestSeededCrashes:
// LOTABOTS_CRASHES raises it.
func crashes(t *testing.T) int {
	t.Helper()
	text := os.Getenv("LOTABOTS_CRASHES")
	if text == "" {
		if testing.Short() {
			return 100
		}
		return 600
	}
	n, err := strconv.Atoi(text)
	try(t, err)
	return n
}

// A life is one run of a node's storage from a start to the loss of power.
type life struct {
	memory *vfs.MemFS
	torn   atomic.Int64 // operations on the disk until the power is lost in their midst
	fails  atomic.Int64 // syncs until they fail for good
	lost   atomic.Bool  // the power; before the image of it is made, which takes a while
	image  atomic.Pointer[vfs.MemFS]
	seed   uint64
}

// before loses the power ahead of an operation, or makes a sync of the write-ahead
// log fail. None fails where a new log is begun: Pebble ends the process then.
func (l *life) before(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileWrite, errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo, errorfs.OpRename, errorfs.OpCreate, errorfs.OpReuseForWrite:
	default:
		return nil
	}
	if l.torn.Add(-1) == 0 {
		l.lose()
	}
	if k := op.Kind; strings.HasSuffix(op.Path, ".log") && (k == errorfs.OpFileSync || k == errorfs.OpFileSyncData || k == errorfs.OpFileSyncTo) && l.fails.Add(-1) <= 0 {
		return errors.New("the sync failed")
	}
	return nil
}

// lose keeps the disk as the power's loss would leave it now: what was not
// synced is there in parts, block by block.
func (l *life) lose() {
	l.lost.Store(true)
	rng := rand.New(rand.NewPCG(l.seed, 7))
	l.image.CompareAndSwap(nil, l.memory.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 25 * rng.IntN(5), RNG: rng}))
}

// run works on until the entries end or nothing is taken any more, and returns
// what was acknowledged while there was power.
func (l *life) run(t *testing.T, logs []*raft.Log, rng *rand.Rand, failing bool) uint64 {
	t.Helper()
	db, err := storage.Open("db", storage.Options{FS: errorfs.Wrap(l.memory, errorfs.InjectorFunc(l.before))})
	try(t, err)
	defer db.Close()
	// While Pebble opens it names its new manifest before the folder is synced, and
	// this disk, unlike one with a journal, may keep the name and lose the file.
	l.torn.Store(int64(1 + rng.IntN(60)))
	if failing {
		l.fails.Store(int64(1 + rng.IntN(15)))
	}
	var acknowledged atomic.Uint64
	ended := make(chan error, 1)
	go func() { ended <- l.work(db, logs, rng, &acknowledged) }()
	for {
		select {
		case err := <-ended:
			if err != nil && !errors.Is(err, storage.ErrFailed) {
				t.Fatalf("seed %d: %v", l.seed, err)
			}
			return acknowledged.Load()
		case <-time.After(time.Millisecond):
			if db.Health() != nil { // whoever must write waits for ever
				return acknowledged.Load()
			}
		}
	}
}

func (l *life) work(db *storage.DB, logs []*raft.Log, rng *rand.Rand, acknowledged *atomic.Uint64) error {
	s, err := Open(db)
	if err != nil {
		return err
	}
	log := raftlog.New(db)
	for i := 0; i < len(logs) && l.image.Load() == nil; {
		n := min(1+rng.IntN(8), len(logs)-i)
		if err := log.StoreLogs(logs[i : i+n]); err != nil {
			return err
		}
		if !l.lost.Load() {
			acknowledged.Store(logs[i+n-1].Index)
		}
		for _, e := range logs[i : i+n] {
			s.Apply(e)
		}
		i += n
		if rng.IntN(12) == 0 && l.fails.Load() > 1<<30 { // flushes come by themselves in a node; here the records are few
			if _, err := db.Pebble().AsyncFlush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// TestSeededCrashes loses power at a seeded operation on the disk, or has syncs
// fail from a seeded one on, and opens what is left: the log has every entry that
// was acknowledged, whole, and no other; the state is that of its applied index;
// the log leads it to where it was; and a snapshot of it is the same state.
func TestSeededCrashes(t *testing.T) {
	const n = 40
	logs := seeded(t, 11, n)
	want := references(t, logs)
	var later, behind, failed int
	for seed := range uint64(crashes(t)) {
		rng := rand.New(rand.NewPCG(seed, 3))
		l := &life{memory: vfs.NewCrashableMem(), seed: seed}
		l.torn.Store(1 << 40)
		l.fails.Store(1 << 40)
		failing := seed%3 == 0
		if failing {
			failed++
		}
		acknowledged := l.run(t, logs, rng, failing)
		l.lose() // unless it was lost before
		at := survives(t, fmt.Sprintf("seed %d", seed), l.image.Load(), logs, want, acknowledged)
		if at < acknowledged {
			behind++
		}
		if acknowledged > n/2 {
			later++
		}
	}
	if later == 0 || behind == 0 || failed == 0 {
		t.Errorf("%d crashes came late, %d lost a batch of the state, %d syncs failed: this test shows too little", later, behind, failed)
	}
}

func survives(t *testing.T, what string, image *vfs.MemFS, logs []*raft.Log, want [][]byte, acknowledged uint64) (applied uint64) {
	t.Helper()
	after := start(t, image, usual)
	defer after.db.Close()
	applied = checkHash(t, what, after.Store, want)
	log := raftlog.New(after.db)
	last, err := log.LastIndex()
	try(t, err)
	if last < acknowledged {
		t.Fatalf("%s: %d was acknowledged, and the log ends at %d", what, acknowledged, last)
	}
	if applied > last {
		t.Fatalf("%s: the state is at %d, and the log ends at %d", what, applied, last)
	}
	for i := uint64(1); i <= last; i++ {
		var e raft.Log
		if err := log.GetLog(i, &e); err != nil || e.Term != 1 || !bytes.Equal(e.Data, logs[i-1].Data) {
			t.Fatalf("%s: entry %d of %d: %v", what, i, last, err)
		}
		if i > applied {
			after.Apply(&e)
		}
	}
	checkHash(t, what+", applied again", after.Store, want)
	other := newMemory(t)
	defer other.db.Close()
	if last > 0 {
		try(t, other.ReadSnapshot(bytes.NewReader(snapshotOf(t, after.Store))))
	}
	sameHash(t, what+", by a snapshot", other.Store, after.Store)
	return applied
}

func newMemory(t *testing.T) *replica { return start(t, vfs.NewMem(), usual) }
