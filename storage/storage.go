package storage

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
)

// Sizes of the database's memory. State and log of a node are small, and the
// machine's memory belongs to models.
const (
	cacheBytes    = 8 << 20
	memtableBytes = 4 << 20
	maxOpenFiles  = 256
)

// An FS is where a database's files are.
type FS = vfs.FS

// Options of a database.
type Options struct {
	Log *slog.Logger // nil: nothing is logged
	FS  FS           // nil: the real one. Tests give one that can crash.

	// StallLimit is how long a synced write may take before the disk is taken
	// for stalled. 0: 2 s.
	StallLimit time.Duration
}

// Memory is a file system that ends with the process, for what measures or tests
// many databases at once.
func Memory() FS { return memory{vfs.NewMem()} }

type memory struct{ vfs.FS }

// layered sets what Pebble gets its files from.
func (o Options) layered(p *pebble.Options, fail func(error)) *logFS {
	logs := &logFS{FS: o.FS, fail: fail}
	switch o.FS.(type) {
	case nil:
		logs.FS = vfs.Default
		p.FS = logs
		p.WithFSDefaults() // watches the disk
	case memory: // has no journal to spare and does not fail, and holds many databases
		p.FS = o.FS
	default:
		p.FS = logs
	}
	return logs
}

// A DB is a node's database. Its methods may be called from any goroutine, but
// none during or after Close.
type DB struct {
	pebble *pebble.DB
	events *events
	guard  *guard
	dir    string
	fs     FS       // without what is done for Pebble's log
	format uint32   // of what is on disk
	open   struct { // a scrape of the metrics, and a read of Raft's log, may come after Close
		sync.RWMutex
		closed bool
	}
}

// Open opens the database in dir, or makes one. It fails where another process
// has it open, and wraps ErrNewerFormat where this build is too old for it.
func Open(dir string, o Options) (*DB, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.FS == nil { // Pebble would let others on the machine read what it makes
		if err := private(dir); err != nil {
			return nil, fmt.Errorf("opening the database in %s: %w", dir, err)
		}
	}
	db := &DB{events: &events{log: o.Log}, dir: dir, fs: o.FS}
	if db.fs == nil {
		db.fs = vfs.Default
	}
	db.guard = newGuard(o.StallLimit, db.events)
	db.events.fail = db.guard.fail
	cache := pebble.NewCache(cacheBytes)
	defer cache.Unref()
	listener := db.events.listener()
	options := &pebble.Options{
		Cache: cache, MemTableSize: memtableBytes, MaxOpenFiles: maxOpenFiles,
		FormatMajorVersion: pebbleFormat, Logger: db.events, EventListener: &listener,
	}
	options.Experimental.SpanPolicyFunc = spans
	logs := o.layered(options, db.guard.fail)
	var err error
	if db.pebble, err = db.guard.open(dir, options); err != nil {
		if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
			return nil, fmt.Errorf("opening the database in %s: another process has it open, or this one may not: %w", dir, err)
		}
		return nil, fmt.Errorf("opening the database in %s: %w", dir, Where(err))
	}
	if db.format, err = checkFormat(db.pebble); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the database in %s: %w", dir, Where(err)), db.pebble.Close())
	}
	logs.opened.Store(true)
	db.guard.writes.Go(db.guard.writer)
	return db, nil
}

// private makes dir one that only its owner may enter.
func private(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.Chmod(dir, 0o700)
}

// Pebble is the database for the packages under storage.
func (db *DB) Pebble() *pebble.DB { return db.pebble }

// A File lies beside the database's own.
type File = vfs.File

// OpenFile opens a file beside the database's own, which is nobody's but the caller's; fs.ErrNotExist where there is
// none. Name has no number in it, for such are Pebble's.
func (db *DB) OpenFile(name string) (File, error) {
	path := db.fs.PathJoin(db.dir, name)
	if _, err := db.fs.Stat(path); err != nil {
		return nil, err
	}
	return db.fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
}

// CreateFile makes such a file anew, of zeros and of so many bytes, all of which are on disk when it returns: writing
// over them takes no more room, and changes nothing of the file but them.
func (db *DB) CreateFile(name string, size int64) (File, error) {
	f, err := db.fs.Create(db.fs.PathJoin(db.dir, name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	for left := size; left > 0 && err == nil; left -= layBytes {
		_, err = f.Write(make([]byte, min(left, layBytes)))
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// RemoveFile removes such a file; fs.ErrNotExist where there is none.
func (db *DB) RemoveFile(name string) error { return db.fs.Remove(db.fs.PathJoin(db.dir, name)) }

// ErrClosed is what a Read that comes after Close wraps.
var ErrClosed = errors.New("the database is closed")

// Read has use look at what is under a key, which it may not keep; there may be
// pebble.ErrNotFound. Unlike Pebble's own Get it may be called after Close.
func (db *DB) Read(key []byte, use func(value []byte) error) error {
	db.open.RLock()
	defer db.open.RUnlock()
	if db.open.closed {
		return ErrClosed
	}
	value, closer, err := db.pebble.Get(key)
	if err != nil {
		return Where(err)
	}
	return errors.Join(use(value), closer.Close())
}

// Sync returns once everything that was written before the call is on disk,
// batches that were committed without a sync included.
func (db *DB) Sync() error {
	b := db.pebble.NewBatch()
	if err := b.LogData(nil, nil); err != nil {
		return errors.Join(err, b.Close())
	}
	return db.CommitPatiently(b)
}

// closing bounds how long Close waits for a disk that does not answer.
const closing = 5 * time.Second

// Close ends the database. Whoever uses it must have stopped. One that has failed
// or does not answer is left as it is: the process should end then, and what was
// acknowledged is on disk.
func (db *DB) Close() error {
	db.open.Lock()
	defer db.open.Unlock()
	if db.open.closed {
		return nil
	}
	db.open.closed = true
	close(db.guard.ended)
	if err := db.guard.failure(); err != nil {
		return fmt.Errorf("closing the database: %w", err)
	}
	closed := make(chan error, 1)
	go func() {
		db.guard.writes.Wait()
		closed <- db.pebble.Close()
	}()
	limit := time.NewTimer(closing)
	defer limit.Stop()
	select {
	case err := <-closed:
		return err
	case <-db.guard.failed:
		return fmt.Errorf("closing the database: %w", db.guard.failure())
	case <-limit.C:
		return fmt.Errorf("closing the database: %w", ErrStalled)
	}
}

// Metrics registers the database's metrics, once.
func (db *DB) Metrics(r prometheus.Registerer) {
	if r != nil {
		r.MustRegister(&collector{db: db})
	}
}
