package state

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage/raftlog"
)

// seeded makes the same commands for the same seed.
func seeded(t testing.TB, seed uint64, n int) []*raft.Log {
	rng := rand.New(rand.NewPCG(seed, 0))
	var out []*raft.Log
	for i := range n {
		c := seededCommand(rng, fmt.Sprint(rng.IntN(20)), i)
		c.RequestId = fmt.Sprintf("r%d", rng.IntN(2*n))
		out = append(out, &raft.Log{Index: uint64(i + 1), Term: 1, Data: encode(t, c)})
	}
	return out
}

func seededCommand(rng *rand.Rand, id string, i int) *wire.Command {
	switch rng.IntN(12) {
	case 0, 1:
		c := putKey(id, "acme", "name of "+id)
		c.GetPutKey().Key.Owner = []string{"", "u1", "u2"}[rng.IntN(3)]
		return c
	case 2:
		return revokeKey(id)
	case 3:
		return at(1000, revokeKey(id))
	case 4, 5:
		return putTenant(&wire.Tenant{Id: id, Name: fmt.Sprint(i)})
	case 6:
		return putUser(&wire.User{Id: fmt.Sprint("u", rng.IntN(4)), Name: id}, uint64(rng.IntN(2)))
	case 7:
		return removeUser(fmt.Sprint("u", rng.IntN(4)))
	case 8:
		return bind(id, fmt.Sprint("user:u", rng.IntN(4)), "viewer", "")
	case 9:
		return putSession(id, fmt.Sprint("u", rng.IntN(4)), 9000)
	case 10:
		return refresh(id, "f", fmt.Sprint(rng.IntN(3)), fmt.Sprint(rng.IntN(3)))
	default:
		return putSetting(id, string(bytes.Repeat([]byte{'x'}, rng.IntN(2000))))
	}
}

// references are the hashes of the state at every index.
func references(t testing.TB, logs []*raft.Log) [][]byte {
	r := newReplica(t)
	empty, _ := r.Hash()
	out := [][]byte{empty}
	for _, l := range logs {
		r.Apply(l)
		h, _ := r.Hash()
		out = append(out, h)
	}
	return out
}

func checkHash(t testing.TB, what string, s *Store, want [][]byte) uint64 {
	t.Helper()
	h, at := s.Hash()
	if at != s.Index() {
		t.Fatalf("%s: the index is %d and the records are of %d", what, s.Index(), at)
	}
	if !bytes.Equal(h, want[at]) {
		t.Fatalf("%s: the records are not those of the applied index, %d", what, at)
	}
	checkIndexes(t, what, s)
	checkLog(t, &replica{Store: s})
	return at
}

// TestCrashes loses power after every few entries, keeping more or less of what
// was not synced. The state must be that of its applied index, the log must have
// every entry that comes after it, and applying those must lead to where the
// state would have been.
func TestCrashes(t *testing.T) {
	const n = 60
	logs := seeded(t, 1, n)
	want := references(t, logs)
	fs := vfs.NewCrashableMem()
	r := start(t, fs, usual)
	defer func() { r.db.Close() }()
	store := raftlog.New(r.db)
	behind := false
	for i, l := range logs {
		try(t, store.StoreLog(l))
		acknowledged := l.Index
		r.Apply(l)
		if i%3 != 0 {
			continue
		}
		for percent := 0; percent <= 100; percent += 50 {
			after := start(t, r.crash(uint64(i), percent), usual)
			at := checkHash(t, "after the crash", after.Store, want)
			behind = behind || at < acknowledged
			kept := raftlog.New(after.db)
			if last, err := kept.LastIndex(); err != nil || last != acknowledged {
				t.Fatalf("the log ends at %d (%v), and %d was acknowledged", last, err, acknowledged)
			}
			for next := at + 1; next <= acknowledged; next++ {
				var again raft.Log
				try(t, kept.GetLog(next, &again))
				after.Apply(&again)
			}
			if end := checkHash(t, "after the log was applied again", after.Store, want); end != acknowledged {
				t.Fatalf("the state is at %d, want %d", end, acknowledged)
			}
			after.db.Close()
		}
	}
	if !behind {
		t.Error("no crash lost a batch of the state: this test shows nothing")
	}
}

// A sink keeps a snapshot in memory, and tells what was on disk when it was closed.
type sink struct {
	bytes.Buffer
	closed   func()
	canceled bool
}

func (s *sink) ID() string    { return "test" }
func (s *sink) Close() error  { s.closed(); return nil }
func (s *sink) Cancel() error { s.canceled = true; return nil }

// TestSnapshotIsDurableFirst crashes in the moment that Raft's snapshot is
// complete: Raft will give nothing again that is in it.
func TestSnapshotIsDurableFirst(t *testing.T) {
	logs := seeded(t, 2, 50)
	r := start(t, vfs.NewCrashableMem(), usual)
	defer func() { r.db.Close() }()
	for _, l := range logs {
		r.Apply(l)
	}
	snap, err := r.Snapshot()
	try(t, err)
	defer snap.Release()
	r.Apply(&raft.Log{Index: 51, Term: 1, Data: encode(t, putSetting("later", "x"))})
	closed := false
	s := &sink{closed: func() {
		closed = true
		after := start(t, r.crash(0, 0), usual)
		defer after.db.Close()
		if after.Index() < 50 {
			t.Errorf("the snapshot is of index 50, and the state came back to %d", after.Index())
		}
	}}
	try(t, snap.Persist(s))
	if !closed || s.canceled {
		t.Fatal("the snapshot was not closed")
	}
	other := newReplica(t)
	try(t, other.Restore(io.NopCloser(&s.Buffer)))
	if other.Index() != 50 {
		t.Errorf("the snapshot is of index %d: it must be of the moment at which it was taken", other.Index())
	}
}

// TestCrashesDuringRestore loses power at many moments of a restore: what comes
// back is the old state or the new one.
func TestCrashesDuringRestore(t *testing.T) {
	logs := seeded(t, 3, 400)
	want := references(t, logs)
	source := newReplica(t)
	for _, l := range logs {
		source.Apply(l)
	}
	raw := snapshotOf(t, source.Store)
	r := start(t, vfs.NewCrashableMem(), usual)
	defer func() { r.db.Close() }()
	for _, l := range logs[:40] {
		r.Apply(l)
	}
	try(t, r.db.Sync())
	seen := map[uint64]int{}
	look := func(seed uint64) {
		for percent := 0; percent <= 100; percent += 50 {
			after := start(t, r.crash(seed, percent), usual)
			seen[checkHash(t, "after the crash", after.Store, want)]++
			if n := generations(t, after); n != 1 {
				t.Errorf("%d generations are left on disk", n)
			}
			after.db.Close()
		}
	}
	var parts []io.Reader
	for i, step := 0, len(raw)/20; i < len(raw); i += step {
		parts = append(parts, bytes.NewReader(raw[i:min(i+step, len(raw))]), readFunc(func() { look(uint64(i)) }))
	}
	r.Subscribe(func(Change) { look(999) }) // the pointer is on disk by now
	try(t, r.ReadSnapshot(io.MultiReader(parts...)))
	look(1000)
	if len(seen) != 2 || seen[40] < 20 || seen[400] != 6 {
		t.Errorf("the crashes came back to %v: want the old index 40 while the snapshot is read, and 400 from when it is in force", seen)
	}
}
