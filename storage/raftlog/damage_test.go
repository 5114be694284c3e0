package raftlog_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"github.com/lotabots/lotabots/storage"
	"github.com/lotabots/lotabots/storage/raftlog"
)

// written makes a store with entries 1 to 1000 in dir, in a table or in Pebble's
// log, and closes it.
func written(t *testing.T, inTable bool) (dir string) {
	t.Helper()
	dir = t.TempDir()
	db, err := storage.Open(dir, storage.Options{})
	must(t, err)
	s := raftlog.New(db)
	for first := uint64(1); first < 1000; first += 20 {
		batch := entries(first, first+19, 1)
		for _, l := range batch {
			l.Data = append(l.Data, make([]byte, 100)...)
		}
		must(t, s.StoreLogs(batch))
	}
	if inTable {
		must(t, db.Pebble().Flush())
	}
	must(t, db.Close())
	return dir
}

// flip changes one bit of the last of the files.
func flip(t *testing.T, dir, pattern string, at int) (name string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	must(t, err)
	slices.Sort(files)
	file := files[len(files)-1]
	raw, err := os.ReadFile(file)
	must(t, err)
	raw[at] ^= 0x10
	must(t, os.WriteFile(file, raw, 0o600))
	return filepath.Base(file)
}

// TestDamagedLogIsNotOpened: a changed bit in what was acknowledged is told of by
// file and place, and is not taken for the end of the log.
func TestDamagedLogIsNotOpened(t *testing.T) {
	for _, at := range []int{10, 5000, 60_000} {
		dir := written(t, false)
		name := flip(t, dir, "*.log", at)
		for range 2 { // the attempt leaves it as it is
			db, err := storage.Open(dir, storage.Options{})
			if err == nil {
				last, err := raftlog.New(db).LastIndex()
				db.Close()
				t.Fatalf("with byte %d changed the database opens, and the log ends at %d (%v)", at, last, err)
			}
			if text := err.Error(); !pebble.IsCorruptionError(err) || !strings.Contains(text, name) ||
				!strings.Contains(text, "offset") || strings.Contains(text, "\n") {
				t.Errorf("%q does not tell of %s and the offset", text, name)
			}
		}
	}
}

// TestDamagedTable: entries that cannot be read are told of, each by its index, and
// are neither missing nor made up.
func TestDamagedTable(t *testing.T) {
	dir := written(t, true)
	name := strings.TrimSuffix(flip(t, dir, "*.sst", 100), ".sst")
	db, err := storage.Open(dir, storage.Options{})
	must(t, err)
	defer db.Close()
	s := raftlog.New(db)
	if _, err := s.FirstIndex(); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("the first index, which is in the damaged block: %v", err)
	}
	damaged := 0
	for i := uint64(1); i <= 1000; i++ {
		err := s.GetLog(i, &raft.Log{})
		if err != nil {
			damaged++
		}
		if err == nil || pebble.IsCorruptionError(err) && strings.Contains(err.Error(), name) && !strings.Contains(err.Error(), "\n") {
			continue
		}
		t.Fatalf("entry %d: %v", i, err)
	}
	if damaged == 0 {
		t.Error("nothing was damaged")
	}
}

// TestReadAfterClose: Raft looks at its oldest entry now and then from a goroutine
// that nobody waits for.
func TestReadAfterClose(t *testing.T) {
	db, err := storage.Open("db", storage.Options{FS: vfs.NewMem()})
	must(t, err)
	s := raftlog.New(db)
	must(t, s.StoreLogs(entries(1, 3, 1)))
	must(t, db.Close())
	if err := s.GetLog(1, &raft.Log{}); !errors.Is(err, storage.ErrClosed) {
		t.Fatalf("%v", err)
	}
	checkBounds(t, s, 1, 3)
}
