package usage

import (
	"context"
	"errors"
	"time"

	"github.com/lotabots/lotabots/storage"
)

// most is how many records one batch has.
const most = 4096

// Without a journal, after a batch of many records the next waits for others, so that what is busy syncs
// seldom; a request that comes alone never waits.
const (
	someRecords = 4
	gatherSome  = time.Millisecond
	manyRecords = 16
	gatherMany  = 3 * time.Millisecond
)

// gathers is how long the batch after one of n records waits: as many will come again, and
// each sync is a cost to the machine, however few it is for.
func gathers(n int) time.Duration {
	switch {
	case n >= manyRecords:
		return gatherMany
	case n >= someRecords:
		return gatherSome
	}
	return 0
}

// Start has records written and the state told, until Shutdown.
func (l *Ledger) Start() {
	l.writer.Go(l.write)
	l.teller.Go(func() { l.tellAll(l.work) })
}

// Shutdown takes no more records, writes those that wait, and tells the state
// of them as far as it can.
func (l *Ledger) Shutdown(ctx context.Context) error {
	l.once.Do(func() {
		l.mu.Lock()
		l.mu.closed = true
		l.mu.Unlock()
		close(l.stop)
	})
	l.leave()
	done := make(chan struct{})
	go func() {
		l.writer.Wait()
		l.teller.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write is the writer. It sleeps while nothing comes.
func (l *Ledger) write() {
	defer l.end()
	for {
		select {
		case <-l.wake:
		case <-l.stop:
			return
		}
		for n := 0; l.awake(); n = l.turn() {
			l.gather(n)
		}
	}
}

// end writes what is left.
func (l *Ledger) end() {
	l.turn()
	l.mu.Lock()
	f := l.mu.journal
	if l.mu.writing != nil { // at a disk that stands still; the process is about to end
		f = nil
	}
	l.mu.journal = nil
	l.mu.Unlock()
	if f != nil {
		_ = f.Close() // nothing depends on it any more
	}
}

// awake tells whether something has come, or came but a while ago.
func (l *Ledger) awake() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.awake = l.mu.fill.n > 0
	return l.mu.awake
}

// gather lets records come together: those in the journal for long, others as gathers says after a batch of n.
func (l *Ledger) gather(n int) {
	if l.ready() > 0 {
		limit := time.NewTimer(l.cfg.Gather)
		defer limit.Stop()
		select {
		case <-l.hurry:
		case <-limit.C:
			return
		case <-l.stop:
			return
		}
	}
	if pause := gathers(n); pause > 0 {
		time.Sleep(pause)
	}
}

// turn writes what there is in batches, and returns how many records it was.
func (l *Ledger) turn() int {
	l.mu.Lock()
	h := l.mu.fill
	if h.n == 0 {
		l.mu.Unlock()
		return 0
	}
	l.nextLocked(h)
	l.mu.Unlock()
	fate := l.commit(h)
	l.mu.Lock()
	l.doneLocked(h, fate)
	c, ok := l.beginLocked()
	l.mu.Unlock()
	if ok { // what waited for this half to be out of the way
		l.combine(c, nil)
	}
	l.mend()
	return h.n
}

// commit writes a half, however long the disk takes; an error says that it has failed for
// good, or that the ledger ends while it stands still.
func (l *Ledger) commit(h *half) error {
	l.mu.Lock()
	l.mu.syncing = time.Now()
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.mu.syncing = time.Time{}
	}()
	for told, left, number := false, h.buf, h.first; len(left) > 0; {
		rest, through, err := l.tryCommit(left, number)
		if err == nil {
			_, stored := countIn(left[:len(left)-len(rest)])
			l.mu.Lock()
			l.mu.batches++
			l.mu.onDisk, l.mu.stored, l.mu.stands = through, l.mu.stored+stored, false
			l.mu.Unlock()
			left, number = rest, through+1
			continue
		}
		if !told {
			told = true
			l.cfg.Log.Error("what requests have used cannot be written down; they are served meanwhile", "records", h.n, "error", err)
		}
		failed := errors.Is(err, storage.ErrFailed)
		if !failed {
			select {
			case <-time.After(50 * time.Millisecond):
				continue
			case <-l.stop:
			}
		}
		l.mu.Lock()
		l.mu.closed = l.mu.closed || failed
		lost, _ := countIn(h.buf[max(h.written, len(h.buf)-len(left)):]) // what is in the journal, the next life finds
		l.mu.Unlock()
		l.metrics.lost.Add(float64(lost))
		return ErrLost
	}
	return nil
}

// tryCommit writes the first records of what is left, under the same numbers each time, so that what did
// get to the disk is written over by itself. It returns what comes after them, and the number of the last.
func (l *Ledger) tryCommit(left []byte, number uint64) (rest []byte, through uint64, err error) {
	b := l.db.Pebble().NewBatch()
	var key []byte // which the batch copies, as it does values
	through = number - 1
	for rest = left; len(rest) > 0 && through-number+1 < most; {
		size := frameSize(rest)
		through++
		key = appendRecordKey(key[:0], through)
		if err := b.Set(key, rest[frameHeader:size], nil); err != nil {
			return nil, 0, errors.Join(err, b.Close())
		}
		rest = rest[size:]
	}
	return rest, through, l.db.Commit(b, nil)
}

// countIn is how many records frames have, and how many bytes those take in Pebble.
func countIn(frames []byte) (n, stored uint64) {
	for len(frames) > 0 {
		size := frameSize(frames)
		n, stored, frames = n+1, stored+uint64(size-frameHeader-8)+overhead, frames[size:]
	}
	return n, stored
}
