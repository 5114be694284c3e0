package usage

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage"
)

// What Settle answers where the record is not on disk.
var (
	// ErrLate: it will be, as soon as the disk takes it.
	ErrLate = errors.New("the usage ledger's disk does not answer in time")
	// ErrLost: it will not.
	ErrLost = errors.New("the usage ledger takes no record")
)

// A group is the records that wait for one batch.
type group struct {
	records []*wire.UsageRecord
	settled chan struct{} // closed when they are on disk or lost
	fate    error         // to be read after settled; nil: they are on disk
	over    bool          // settled is closed, or about to be; guarded by the ledger's mu
	late    chan struct{} // closed when the first who waits has waited long enough
	limit   *time.Timer   // of that; nil: nobody waits
}

func newGroup() *group { return &group{settled: make(chan struct{}), late: make(chan struct{})} }

// wait returns what has become of the group, within the time for which one waits who has come at began: those
// who join the first one late have it to themselves.
func (g *group) wait(began time.Time, most time.Duration) error {
	select {
	case <-g.settled:
		return g.fate
	case <-g.late:
	}
	own := time.NewTimer(most - time.Since(began))
	defer own.Stop()
	select {
	case <-g.settled:
		return g.fate
	case <-own.C:
		return ErrLate
	}
}

// most is how many records one batch has.
const most = 4096

// After a batch of many records the next waits for others, so that what is busy syncs
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

// Settle writes down that a request has ended and returns when that is on disk, or
// after a short while with an error that wraps ErrLate or ErrLost. It keeps r.
func (l *Ledger) Settle(r *wire.UsageRecord) error {
	began := time.Now()
	g, stands := l.put(r, true)
	switch {
	case g == nil:
		l.metrics.lost.Inc()
		return ErrLost
	case stands:
		l.metrics.late.Inc()
		return ErrLate
	}
	fate := g.wait(began, l.cfg.Wait)
	switch fate {
	case nil:
		l.metrics.settled.Inc()
		l.metrics.settle.Observe(time.Since(began).Seconds())
	case ErrLate:
		l.metrics.late.Inc()
	}
	return fate
}

// overdue lets those go who have waited for the group long enough; it is written all the same.
func (l *Ledger) overdue(g *group) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g.over {
		return
	}
	l.mu.stands = true
	close(g.late)
}

// end tells those who wait what has become of the group.
func (l *Ledger) end(g *group, fate error) {
	l.mu.Lock()
	g.over, g.fate = true, fate
	if fate == nil {
		l.mu.stands = false
	}
	l.mu.Unlock()
	close(g.settled)
	if g.limit != nil {
		g.limit.Stop()
	}
}

// Note is Settle for what nobody waits for.
func (l *Ledger) Note(r *wire.UsageRecord) {
	if g, _ := l.put(r, false); g == nil {
		l.metrics.lost.Inc()
		return
	}
	l.metrics.noted.Inc()
}

// put queues a record; nil: there is no room. stands tells that nobody should wait.
func (l *Ledger) put(r *wire.UsageRecord, waits bool) (g *group, stands bool) {
	plain(r)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closed {
		return nil, false
	}
	if l.mu.queue == nil {
		l.mu.queue = newGroup()
	}
	g = l.mu.queue
	if len(g.records) >= l.cfg.Queue {
		l.mu.full++
		return nil, false
	}
	l.mu.put++
	g.records = append(g.records, r)
	if waits && g.limit == nil && !l.mu.stands {
		g.limit = time.AfterFunc(l.cfg.Wait, func() { l.overdue(g) })
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return g, l.mu.stands
}

// Start has records written and the state told, until Shutdown.
func (l *Ledger) Start() {
	l.writer.Go(l.write)
	l.teller.Go(func() { l.tellAll(l.work) })
}

// Shutdown takes no more records, writes those that wait, and tells the state
// once more if it can by then.
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

// write is the writer: it alone gives numbers.
func (l *Ledger) write() {
	for {
		select {
		case <-l.wake:
			l.writeQueued()
		case <-l.stop:
			l.writeQueued()
			return
		}
	}
}

func (l *Ledger) writeQueued() {
	for n := 0; ; {
		if pause := gathers(n); pause > 0 {
			time.Sleep(pause)
		}
		l.mu.Lock()
		g := l.mu.queue
		l.mu.queue = nil
		l.mu.Unlock()
		if g == nil {
			return
		}
		n = len(g.records)
		var fate error
		for rest := g.records; len(rest) > 0 && fate == nil; rest = rest[min(len(rest), most):] {
			if !l.commit(rest[:min(len(rest), most)]) {
				fate = ErrLost
				l.metrics.lost.Add(float64(len(rest)))
			}
		}
		l.end(g, fate)
	}
}

// commit writes records, however long the disk takes; false: it has failed for
// good, or the ledger ends while it stands still.
func (l *Ledger) commit(records []*wire.UsageRecord) bool {
	l.mu.Lock()
	first, bytes := l.mu.next, l.mu.bytes
	l.mu.Unlock()
	for told := false; ; told = true {
		total, err := l.tryCommit(records, first, bytes)
		if err == nil {
			l.mu.Lock()
			l.mu.batches++
			l.mu.next = first + uint64(len(records))
			l.mu.onDisk, l.mu.bytes, l.mu.stands = l.mu.next-1, total, false
			l.mu.Unlock()
			return true
		}
		if !told {
			l.cfg.Log.Error("what requests have used cannot be written down; they are served meanwhile", "records", len(records), "error", err)
		}
		if errors.Is(err, storage.ErrFailed) {
			l.mu.Lock()
			l.mu.closed = true
			l.mu.Unlock()
			return false
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-l.stop:
			return false
		}
	}
}

// tryCommit writes the records under the same numbers each time, so that what did
// get to the disk is written over by itself.
func (l *Ledger) tryCommit(records []*wire.UsageRecord, number, bytes uint64) (total uint64, err error) {
	b := l.db.Pebble().NewBatch()
	var key, value []byte // which the batch copies
	for i, r := range records {
		value = binary.BigEndian.AppendUint64(value[:0], bytes)
		value, err = proto.MarshalOptions{}.MarshalAppend(value, r)
		if err == nil {
			key = appendRecordKey(key[:0], number+uint64(i))
			err = b.Set(key, value, nil)
		}
		if err != nil {
			return 0, errors.Join(err, b.Close())
		}
		bytes += uint64(len(value)-8) + overhead
	}
	return bytes, l.db.Commit(b, nil)
}
