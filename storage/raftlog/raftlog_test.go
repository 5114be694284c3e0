package raftlog_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"github.com/lotabots/lotabots/storage"
	"github.com/lotabots/lotabots/storage/raftlog"
)

func database(t testing.TB, fs vfs.FS) *storage.DB {
	t.Helper()
	db, err := storage.Open("db", storage.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func store(t testing.TB, fs vfs.FS) *raftlog.Store { t.Helper(); return raftlog.New(database(t, fs)) }

// entries makes the entries from first to last, which tell their term.
func entries(first, last, term uint64) []*raft.Log {
	var out []*raft.Log
	for i := first; i <= last; i++ {
		out = append(out, &raft.Log{Index: i, Term: term, Type: raft.LogCommand, Data: fmt.Appendf(nil, "%d of %d", i, term)})
	}
	return out
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func checkBounds(t testing.TB, s raft.LogStore, first, last uint64) {
	t.Helper()
	f, err := s.FirstIndex()
	must(t, err)
	l, err := s.LastIndex()
	must(t, err)
	if f != first || l != last {
		t.Fatalf("the log goes from %d to %d, want %d to %d", f, l, first, last)
	}
}

func checkEntry(t testing.TB, s raft.LogStore, want *raft.Log) {
	t.Helper()
	var got raft.Log
	if err := s.GetLog(want.Index, &got); err != nil {
		t.Fatalf("entry %d: %v", want.Index, err)
	}
	if got.Index != want.Index || got.Term != want.Term || got.Type != want.Type || !bytes.Equal(got.Data, want.Data) ||
		!bytes.Equal(got.Extensions, want.Extensions) || !got.AppendedAt.Equal(want.AppendedAt) {
		t.Fatalf("entry %d is %+v, want %+v", want.Index, got, *want)
	}
}

func TestEntriesComeBackWhole(t *testing.T) {
	s := store(t, vfs.NewMem())
	checkBounds(t, s, 0, 0)
	if err := s.GetLog(1, &raft.Log{}); !errors.Is(err, raft.ErrLogNotFound) {
		t.Fatalf("an entry of an empty log: %v", err)
	}
	list := []*raft.Log{
		{Index: 7, Term: 3, Type: raft.LogNoop},
		{Index: 8, Term: 3, Type: raft.LogConfiguration, Data: []byte("servers"), AppendedAt: time.Unix(1_790_000_000, 123_456_789)},
		{Index: 9, Term: 1<<63 + 5, Type: raft.LogCommand, Data: bytes.Repeat([]byte("x"), 300_000), Extensions: []byte("more")},
		{Index: 10, Term: 4, Type: raft.LogBarrier, Extensions: []byte{0}},
	}
	must(t, s.StoreLogs(list))
	checkBounds(t, s, 7, 10)
	for _, l := range list {
		checkEntry(t, s, l)
	}
	var kept raft.Log
	must(t, s.GetLog(8, &kept))
	kept.Data[0] = '!' // is the caller's own
	checkEntry(t, s, list[1])
	must(t, s.StoreLogs(nil))
	checkBounds(t, s, 7, 10)
	if s.IsMonotonic() {
		t.Error("the store says that it takes no gaps")
	}
}

func TestDeleteRange(t *testing.T) {
	for _, c := range []struct{ low, high, first, last uint64 }{
		{1, 4, 5, 20},   // compaction
		{15, 20, 1, 14}, // a conflicting tail
		{15, 90, 1, 14}, // and beyond
		{8, 9, 1, 20},   // a gap
		{1, 20, 0, 0},   // all
		{0, 1 << 40, 0, 0},
		{21, 30, 1, 20}, // nothing
		{9, 8, 1, 20},   // nothing
		{3, ^uint64(0), 1, 2},
	} {
		t.Run(fmt.Sprintf("%d to %d", c.low, c.high), func(t *testing.T) {
			fs := vfs.NewMem()
			s := store(t, fs)
			all := entries(1, 20, 1)
			must(t, s.StoreLogs(all))
			must(t, s.DeleteRange(c.low, c.high))
			checkBounds(t, s, c.first, c.last)
			for _, l := range all {
				if l.Index < c.low || l.Index > c.high {
					checkEntry(t, s, l)
				} else if err := s.GetLog(l.Index, &raft.Log{}); !errors.Is(err, raft.ErrLogNotFound) {
					t.Fatalf("deleted entry %d: %v", l.Index, err)
				}
			}
			next := max(c.last, 40) + 1 // after a gap, as after a snapshot
			must(t, s.StoreLogs(entries(next, next+1, 2)))
			checkBounds(t, s, cond(c.first == 0, next, c.first), next+1)
		})
	}
}

func cond[T any](yes bool, a, b T) T {
	if yes {
		return a
	}
	return b
}

func TestBoundsAreReadAtStart(t *testing.T) {
	fs := vfs.NewMem()
	db, err := storage.Open("db", storage.Options{FS: fs})
	must(t, err)
	s := raftlog.New(db)
	must(t, s.Set([]byte("zz"), []byte("the stable store's neighbour")))
	must(t, s.StoreLogs(entries(1, 300, 1)))
	must(t, s.DeleteRange(1, 256))
	must(t, db.Close())
	checkBounds(t, store(t, fs), 257, 300)
}

func TestStableStore(t *testing.T) {
	fs := vfs.NewMem()
	s := store(t, fs)
	if _, err := s.Get([]byte("vote")); err == nil || err.Error() != "not found" {
		t.Fatalf("Raft knows a missing name by the text \"not found\", and this is %v", err)
	}
	if _, err := s.GetUint64([]byte("term")); err == nil || err.Error() != "not found" {
		t.Fatalf("Raft knows a missing number by the text \"not found\", and this is %v", err)
	}
	must(t, s.Set([]byte("vote"), []byte("n1")))
	must(t, s.Set([]byte("vote"), []byte("n2")))
	must(t, s.Set([]byte("none"), nil))
	must(t, s.SetUint64([]byte("term"), 1<<63))
	if v, err := s.Get([]byte("vote")); err != nil || string(v) != "n2" {
		t.Fatalf("vote: %q, %v", v, err)
	}
	if v, err := s.Get([]byte("none")); err != nil || len(v) != 0 {
		t.Fatalf("an empty value: %q, %v", v, err)
	}
	if v, err := s.GetUint64([]byte("term")); err != nil || v != 1<<63 {
		t.Fatalf("term: %d, %v", v, err)
	}
	if v, err := s.GetUint64([]byte("vote")); err == nil {
		t.Fatalf("the vote is the number %d", v)
	}
}
