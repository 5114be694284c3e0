package storage

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// What keeps a write from being acknowledged.
var (
	// ErrStalled: a write has not come back from the disk in time. Until it does,
	// others are refused.
	ErrStalled = errors.New("the disk does not answer")
	// ErrFailed: a write to the database's log or manifest has failed. What is on
	// disk can be told by opening the database again only, so nothing more is
	// written until the process starts anew.
	ErrFailed = errors.New("the database has failed, and takes no writes until the node is started anew")
	// ErrRefused comes with one of the others where nothing was written. Without
	// it, the write may be on disk, now or later: its fate is unknown.
	ErrRefused = errors.New("nothing was written")
)

// stallLimit is how long a synced write may take. A leader whose disk stands
// still is then replaced within 5 s: the limit, an election timeout and an election.
const stallLimit = 2 * time.Second

// A guard keeps callers from waiting on a disk that does not answer.
type guard struct {
	limit  time.Duration
	events *events
	late   atomic.Uint64 // writes that took longer than limit
	failed chan struct{} // closed once the database has failed
	cause  error         // set before failed is closed
	once   sync.Once
	writes sync.WaitGroup // on their way to the disk, given up or not
	work   chan *write    // taken at once by the writer where it is idle
	ended  chan struct{}  // closed: the writer may go
	mu     struct {
		sync.Mutex
		overdue int           // writes that are past the limit and not back
		clear   chan struct{} // closed once overdue is 0; nil while it is
	}
}

func newGuard(limit time.Duration, e *events) *guard {
	if limit <= 0 {
		limit = stallLimit
	}
	return &guard{limit: limit, events: e, failed: make(chan struct{}), work: make(chan *write), ended: make(chan struct{})}
}

// writer carries writes out, one after the other, until ended is closed. One that
// comes while it is busy has a goroutine of its own, so that none waits for
// another: it is a shortcut, for a new goroutine has to grow its stack first.
func (g *guard) writer() {
	for {
		select {
		case w := <-g.work:
			g.carryOut(w)
		case <-g.ended:
			return
		}
	}
}

// open opens Pebble. Where that fails for good, what it was at is left behind.
func (g *guard) open(dir string, o *pebble.Options) (*pebble.DB, error) {
	type opened struct {
		db  *pebble.DB
		err error
	}
	done := make(chan opened, 1)
	go func() {
		defer func() { // Pebble panics where a directory cannot be synced
			if r := recover(); r != nil {
				done <- opened{err: fmt.Errorf("%w: %v", ErrFailed, r)}
			}
		}()
		db, err := pebble.Open(dir, o)
		done <- opened{db, err}
	}()
	select {
	case d := <-done:
		return d.db, d.err
	case <-g.failed:
		return nil, g.failure()
	}
}

// fail is final.
func (g *guard) fail(err error) {
	g.once.Do(func() {
		g.cause = err
		g.events.faults.Add(1)
		g.events.log.Error("the database has failed: it takes no more writes, and this node must be started anew", "error", err)
		close(g.failed)
	})
}

func (g *guard) failure() error {
	select {
	case <-g.failed:
		return fmt.Errorf("%w: %w", ErrFailed, g.cause)
	default:
		return nil
	}
}

// stalled is closed once no write is overdue; nil says that none is.
func (g *guard) stalled() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.clear
}

func (g *guard) begins() {
	g.late.Add(1)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.overdue++; g.mu.overdue == 1 {
		g.mu.clear = make(chan struct{})
		g.events.log.Error("the disk does not answer: writes are refused until it does", "after_seconds", g.limit.Seconds())
	}
}

func (g *guard) ends() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.overdue--; g.mu.overdue == 0 {
		close(g.mu.clear)
		g.mu.clear = nil
		g.events.log.Warn("the disk answers again: writes are taken")
	}
}

// health is nil, ErrStalled or ErrFailed with its cause.
func (g *guard) health() error {
	if err := g.failure(); err != nil {
		return err
	}
	if g.stalled() != nil {
		return ErrStalled
	}
	return nil
}

// A write is a synced batch on its way to the disk. Either it ends in time, or
// its waiter gives it up: once decided, that stays so.
type write struct {
	batch   *pebble.Batch
	late    func() error // may be nil
	decided atomic.Bool
	result  chan error // of a write that ended before it was given up
}

// start commits b and closes it. Where it is given up and ends well, late is
// called (if any) before writes are taken again.
func (g *guard) start(b *pebble.Batch, late func() error) *write {
	w := &write{batch: b, late: late, result: make(chan error, 1)}
	g.writes.Add(1)
	select {
	case g.work <- w:
	default:
		go g.carryOut(w)
	}
	return w
}

func (g *guard) carryOut(w *write) {
	defer g.writes.Done()
	err := errors.Join(g.commit(w.batch, pebble.Sync), w.batch.Close())
	if w.decided.CompareAndSwap(false, true) {
		w.result <- err
		return
	}
	if err == nil && w.late != nil {
		err = w.late()
	}
	if err != nil {
		g.fail(err)
	}
	g.ends()
}

// commit writes b. Pebble panics where its log has failed.
func (g *guard) commit(b *pebble.Batch, o *pebble.WriteOptions) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrFailed, r)
			g.fail(err)
		}
	}()
	return b.Commit(o)
}

// Commit writes the batch and returns once it is on disk, or with an error once
// that has taken too long or failed; ErrRefused says that nothing was written.
// If a batch that Commit has given up does get to the disk, late is called, to
// write what undoes it, and no other write is taken before it has returned.
// Commit closes the batch.
func (db *DB) Commit(b *pebble.Batch, late func() error) error {
	g := db.guard
	if err := g.health(); err != nil {
		return errors.Join(fmt.Errorf("%w: %w", err, ErrRefused), b.Close())
	}
	w := g.start(b, late)
	limit := time.NewTimer(g.limit)
	defer limit.Stop()
	select {
	case err := <-w.result:
		return err
	case <-g.failed:
	case <-limit.C:
	}
	// Others must be refused before this one is given up.
	g.begins()
	if !w.decided.CompareAndSwap(false, true) {
		g.ends()
		return <-w.result
	}
	if err := g.failure(); err != nil {
		return err
	}
	return ErrStalled
}

// CommitPatiently writes the batch and returns once it is on disk, however long
// that takes. In a database that has failed it never returns: it is for callers
// that end the process on an error. While it takes too long, Commit refuses.
// CommitPatiently closes the batch.
func (db *DB) CommitPatiently(b *pebble.Batch) error {
	g := db.guard
	for clear := g.stalled(); clear != nil; clear = g.stalled() {
		select {
		case <-clear:
		case <-g.failed:
			select {}
		}
	}
	if g.failure() != nil {
		select {}
	}
	w := g.start(b, nil)
	limit := time.NewTimer(g.limit)
	defer limit.Stop()
	var err error
	select {
	case err = <-w.result:
	case <-limit.C:
		g.begins()
		defer g.ends()
		select {
		case err = <-w.result:
		case <-g.failed:
			select {}
		}
	case <-g.failed:
		select {}
	}
	if errors.Is(err, ErrFailed) {
		select {}
	}
	return err
}

// CommitLate writes the batch and returns once it is on disk: it is for late of
// Commit, which other writes wait for. CommitLate closes the batch.
func (db *DB) CommitLate(b *pebble.Batch) error {
	return errors.Join(db.guard.commit(b, pebble.Sync), b.Close())
}

// Apply writes the batch without waiting for the disk. In a database that has
// failed it never returns, like CommitPatiently. It leaves the batch open.
func (db *DB) Apply(b *pebble.Batch) error {
	if db.guard.failure() != nil {
		select {}
	}
	err := db.guard.commit(b, pebble.NoSync)
	if errors.Is(err, ErrFailed) {
		select {}
	}
	return err
}

// Health is nil while writes are taken, and else wraps ErrStalled or ErrFailed.
func (db *DB) Health() error { return db.guard.health() }
