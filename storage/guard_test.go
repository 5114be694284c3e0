package storage_test

import (
	"errors"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/storage"
	"github.com/lotabots/lotabots/storage/diskfault"
)

const soon = 400 * time.Millisecond // how long the disk is given in these tests

func faulty(t *testing.T) (*storage.DB, *diskfault.Disk) {
	disk := diskfault.New(vfs.NewCrashableMem())
	db := open(t, "db", storage.Options{FS: disk, StallLimit: soon})
	t.Cleanup(disk.Resume) // before db is closed
	return db, disk
}

func batch(t *testing.T, db *storage.DB, name string) *pebble.Batch {
	t.Helper()
	b := db.Pebble().NewBatch()
	if err := b.Set(storage.State.Key([]byte(name)), []byte(name), nil); err != nil {
		t.Fatal(err)
	}
	return b
}

func has(t *testing.T, db *storage.DB, name string) bool {
	t.Helper()
	_, closer, err := db.Pebble().Get(storage.State.Key([]byte(name)))
	if errors.Is(err, pebble.ErrNotFound) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	closer.Close()
	return true
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("never: %s", what)
		}
	}
}

// gauge reads one of the database's metrics.
func gauge(t *testing.T, db *storage.DB, name string) float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	db.Metrics(r)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "lotabots_storage_"+name {
			return f.Metric[0].GetGauge().GetValue() + f.Metric[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// TestStalledDisk: a write that does not come back is given up, others are
// refused until it has and has been undone, and then all is well.
func TestStalledDisk(t *testing.T) {
	db, disk := faulty(t)
	disk.Stall()
	undone := make(chan bool, 1)
	begin := time.Now()
	err := db.Commit(batch(t, db, "stuck"), func() error {
		undone <- has(t, db, "stuck")
		return db.Pebble().Delete(storage.State.Key([]byte("stuck")), pebble.Sync)
	})
	if !errors.Is(err, storage.ErrStalled) || errors.Is(err, storage.ErrRefused) || time.Since(begin) < soon {
		t.Fatalf("after %v: %v", time.Since(begin), err)
	}
	if err := db.Commit(batch(t, db, "refused"), nil); !errors.Is(err, storage.ErrStalled) || !errors.Is(err, storage.ErrRefused) {
		t.Fatalf("a write while the disk does not answer: %v", err)
	}
	if !errors.Is(db.Health(), storage.ErrStalled) || gauge(t, db, "stalled") != 1 || gauge(t, db, "late_writes_total") != 1 {
		t.Error("the stall is not told of")
	}
	patient := make(chan error, 1)
	go func() { patient <- db.CommitPatiently(batch(t, db, "patient")) }()
	select {
	case err := <-patient:
		t.Fatalf("the patient write came back from a stalled disk: %v", err)
	case <-time.After(2 * soon):
	}
	disk.Resume()
	if was := <-undone; !was {
		t.Error("the stuck write was not there to be undone")
	}
	if err := <-patient; err != nil {
		t.Fatal(err)
	}
	eventually(t, "writes are taken", func() bool { return db.Health() == nil })
	if err := db.Commit(batch(t, db, "after"), nil); err != nil {
		t.Fatal(err)
	}
	if has(t, db, "stuck") || has(t, db, "refused") || !has(t, db, "patient") || !has(t, db, "after") {
		t.Error("the records are not what was said of them")
	}
	if gauge(t, db, "stalled") != 0 {
		t.Error("the stall is said to go on")
	}
}

// TestPatientWriteIsOverdue: a write that waits for ever tells others that the
// disk does not answer.
func TestPatientWriteIsOverdue(t *testing.T) {
	db, disk := faulty(t)
	disk.Stall()
	patient := make(chan error, 1)
	go func() { patient <- db.CommitPatiently(batch(t, db, "patient")) }()
	eventually(t, "the disk is known to be stalled", func() bool { return errors.Is(db.Health(), storage.ErrStalled) })
	if err := db.Commit(batch(t, db, "refused"), nil); !errors.Is(err, storage.ErrRefused) {
		t.Fatalf("%v", err)
	}
	disk.Resume()
	if err := <-patient; err != nil || !has(t, db, "patient") {
		t.Fatalf("%v", err)
	}
	eventually(t, "writes are taken", func() bool { return db.Health() == nil })
}

// TestFailingSync: after a sync has failed nothing is written any more, and the
// process lives on and can read.
func TestFailingSync(t *testing.T) {
	db, disk := faulty(t)
	if err := db.Commit(batch(t, db, "before"), nil); err != nil {
		t.Fatal(err)
	}
	disk.Fail()
	err := db.Commit(batch(t, db, "failed"), nil)
	if !errors.Is(err, storage.ErrFailed) || errors.Is(err, storage.ErrRefused) {
		t.Fatalf("a write whose sync fails: %v", err)
	}
	if err := db.Commit(batch(t, db, "refused"), nil); !errors.Is(err, storage.ErrFailed) || !errors.Is(err, storage.ErrRefused) {
		t.Fatalf("a write after that: %v", err)
	}
	if !errors.Is(db.Health(), storage.ErrFailed) || gauge(t, db, "failed") != 1 || gauge(t, db, "faults_total") == 0 {
		t.Error("the failure is not told of")
	}
	if !has(t, db, "before") || has(t, db, "refused") {
		t.Error("the records are not what was said of them")
	}
	if err := db.Close(); !errors.Is(err, storage.ErrFailed) {
		t.Errorf("closing it: %v", err)
	}
}

// TestFailureEndsTheWait: a write that stands still when the database fails is
// answered.
func TestFailureEndsTheWait(t *testing.T) {
	disk := diskfault.New(vfs.NewMem())
	db := open(t, "db", storage.Options{FS: disk, StallLimit: time.Hour})
	disk.Stall()
	answer := make(chan error, 1)
	go func() { answer <- db.Commit(batch(t, db, "stuck"), nil) }()
	eventually(t, "the sync stands still", func() bool { return disk.Waiting() > 0 })
	disk.Fail()
	disk.Resume()
	if err := <-answer; !errors.Is(err, storage.ErrFailed) {
		t.Fatalf("%v", err)
	}
}

func TestOpeningOnAFailingDisk(t *testing.T) {
	disk := diskfault.New(vfs.NewMem())
	disk.Fail()
	if _, err := storage.Open("db", storage.Options{FS: disk}); err == nil {
		t.Fatal("a database was made on a disk that keeps nothing")
	}
}

// TestFailureAtANewLog: Pebble panics where the log that it ends, or the one that it
// begins, cannot be synced. The database fails as it does by any other sync.
func TestFailureAtANewLog(t *testing.T) {
	for name, write := range map[string]func(*storage.DB, *pebble.Batch) error{
		"waiting": func(db *storage.DB, b *pebble.Batch) error { return db.Commit(b, nil) },
		"not":     func(db *storage.DB, b *pebble.Batch) error { return db.Apply(b) },
	} {
		t.Run(name, func(t *testing.T) {
			disk := diskfault.New(vfs.NewMem())
			db := open(t, "db", storage.Options{FS: disk, StallLimit: time.Hour})
			if err := db.Commit(batch(t, db, "before"), nil); err != nil {
				t.Fatal(err)
			}
			disk.Fail()
			large := db.Pebble().NewBatch() // too large for the memtable, so that a log is ended for it
			if err := large.Set(storage.State.Key([]byte("large")), make([]byte, 5<<20), nil); err != nil {
				t.Fatal(err)
			}
			answer := make(chan error, 1)
			go func() { answer <- write(db, large) }()
			eventually(t, "the database has failed", func() bool { return errors.Is(db.Health(), storage.ErrFailed) })
			if name == "waiting" {
				if err := <-answer; !errors.Is(err, storage.ErrFailed) {
					t.Errorf("the write that needs a new log: %v", err)
				}
			}
			if err := db.Commit(batch(t, db, "refused"), nil); !errors.Is(err, storage.ErrRefused) {
				t.Errorf("a write after that: %v", err)
			}
			if !has(t, db, "before") || has(t, db, "refused") || gauge(t, db, "failed") != 1 {
				t.Error("the database cannot be read, or does not tell of it")
			}
			if err := db.Close(); !errors.Is(err, storage.ErrFailed) {
				t.Errorf("closing it: %v", err)
			}
		})
	}
}
