package storage_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/lotabots/lotabots/storage"
)

// newestLog is the size of the log that the database writes to.
func newestLog(t *testing.T, dir string) (name string, size int64) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatal("no log", err)
	}
	slices.Sort(logs)
	info, err := os.Stat(logs[len(logs)-1])
	if err != nil {
		t.Fatal(err)
	}
	return info.Name(), info.Size()
}

// TestLogDoesNotGrowBySyncs: a sync need not write the file's size, in a log that
// is new and in one that was there before.
func TestLogDoesNotGrowBySyncs(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, storage.Options{})
	seen := map[string]bool{}
	for round := range 4 {
		sizes := map[int64]bool{}
		for i := range 40 {
			b := db.Pebble().NewBatch()
			if err := b.Set(storage.State.Key(fmt.Appendf(nil, "%d %d", round, i)), make([]byte, 1000), nil); err != nil {
				t.Fatal(err)
			}
			if err := db.Commit(b, nil); err != nil {
				t.Fatal(err)
			}
			name, size := newestLog(t, dir)
			sizes[size], seen[name] = true, true
		}
		if len(sizes) > 1 {
			t.Errorf("the log had %d sizes while 40 KiB were written", len(sizes))
		}
		if err := db.Pebble().Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) < 4 {
		t.Errorf("there were %d logs: this test shows little", len(seen))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir, storage.Options{})
	for round := range 4 {
		if _, closer, err := again.Pebble().Get(storage.State.Key(fmt.Appendf(nil, "%d %d", round, 39))); err != nil {
			t.Errorf("what was written before log %d ended: %v", round, err)
		} else {
			closer.Close()
		}
	}
}

// TestLogIsLaidOutFurther: a log goes on behind what was laid out at first.
func TestLogIsLaidOutFurther(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, storage.Options{})
	_, first := newestLog(t, dir)
	for i := range 4 {
		if err := db.Pebble().Set(storage.State.Key([]byte{byte(i)}), make([]byte, 50<<10), pebble.Sync); err != nil {
			t.Fatal(err)
		}
	}
	if _, size := newestLog(t, dir); size <= first || size < 200<<10 {
		t.Fatalf("the log has %d bytes, and %d before", size, first)
	}
	clone := t.TempDir() // as after kill -9
	if err := os.CopyFS(clone, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	again := open(t, clone, storage.Options{})
	for i := range 4 {
		value, closer, err := again.Pebble().Get(storage.State.Key([]byte{byte(i)}))
		if err != nil || len(value) != 50<<10 {
			t.Fatalf("record %d: %d bytes, %v", i, len(value), err)
		}
		closer.Close()
	}
}
