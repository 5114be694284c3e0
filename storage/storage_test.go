package storage_test

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/lotabots/lotabots/storage"
)

func open(t *testing.T, dir string, o storage.Options) *storage.DB {
	t.Helper()
	db, err := storage.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestReopensWhatItWrote(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	dir := t.TempDir()
	for i := range 2 {
		db, err := storage.Open(dir, storage.Options{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		key := storage.State.Key([]byte("k"), []byte{byte(i)})
		if err := db.Pebble().Set(key, []byte("v"), pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		for j := range i + 1 {
			_, closer, err := db.Pebble().Get(storage.State.Key([]byte("k"), []byte{byte(j)}))
			if err != nil {
				t.Fatalf("after opening %d, key %d: %v", i, j, err)
			}
			closer.Close()
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatalf("closing it a second time: %v", err)
		}
	}
}

// TestOthersMayNotRead: the state has hashes and sealed keys, whatever the mode
// of the directory above.
func TestOthersMayNotRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	if err := os.Mkdir(dir, 0o755); err != nil { // as an earlier build made it
		t.Fatal(err)
	}
	db, err := storage.Open(dir, storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, storage.Options{})
	_, err := storage.Open(dir, storage.Options{})
	if err == nil || !strings.Contains(err.Error(), dir) {
		t.Fatalf("opening an open database: %v", err)
	}
}

// setFormat writes what another build would have left.
func setFormat(t *testing.T, fs vfs.FS, raw []byte) {
	t.Helper()
	db, err := storage.Open("db", storage.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Pebble().Set(storage.Meta.Key([]byte("format")), raw, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFormat(t *testing.T) {
	for _, c := range []struct {
		name  string
		raw   []byte
		newer bool
		ok    bool
	}{
		{"its own", binary.BigEndian.AppendUint32(nil, storage.Format), false, true},
		{"a newer one", binary.BigEndian.AppendUint32(nil, storage.Format+1), true, false},
		{"none", binary.BigEndian.AppendUint32(nil, 0), false, false},
		{"damaged", []byte{1}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := vfs.NewMem()
			setFormat(t, fs, c.raw)
			for range 2 { // a refused database is closed again, and is as it was
				db, err := storage.Open("db", storage.Options{FS: fs})
				if (err == nil) != c.ok || errors.Is(err, storage.ErrNewerFormat) != c.newer {
					t.Fatalf("opening: %v", err)
				}
				if err == nil {
					db.Close()
				}
			}
		})
	}
}

func TestSyncKeepsWhatCameBefore(t *testing.T) {
	fs := vfs.NewCrashableMem()
	db := open(t, "db", storage.Options{FS: fs})
	write := func(name string) {
		t.Helper()
		if err := db.Pebble().Set(storage.State.Key([]byte(name)), nil, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	write("before")
	if err := db.Sync(); err != nil {
		t.Fatal(err)
	}
	write("after")
	crashed := open(t, "db", storage.Options{FS: fs.CrashClone(vfs.CrashCloneCfg{})})
	if _, closer, err := crashed.Pebble().Get(storage.State.Key([]byte("before"))); err != nil {
		t.Errorf("what was synced: %v", err)
	} else {
		closer.Close()
	}
	if _, _, err := crashed.Pebble().Get(storage.State.Key([]byte("after"))); !errors.Is(err, pebble.ErrNotFound) {
		t.Errorf("what was not synced outlived the harshest crash (%v): this test shows nothing", err)
	}
}

func TestMetrics(t *testing.T) {
	db := open(t, "db", storage.Options{FS: vfs.NewMem()})
	r := prometheus.NewPedanticRegistry()
	db.Metrics(r)
	db.Metrics(nil)
	if err := db.Sync(); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		names[f.GetName()] = true
		if f.GetName() == "lotabots_storage_wal_sync_seconds" && f.Metric[0].Histogram.GetSampleCount() == 0 {
			t.Error("no sync was counted")
		}
	}
	for _, want := range []string{"disk_bytes", "wal_written_bytes_total", "wal_sync_seconds", "write_stalls_total", "faults_total"} {
		if !names["lotabots_storage_"+want] {
			t.Errorf("lotabots_storage_%s is missing", want)
		}
	}
	db.Close()
	if families, err := r.Gather(); err != nil || len(families) != 0 {
		t.Errorf("after Close: %d families, %v", len(families), err)
	}
}
