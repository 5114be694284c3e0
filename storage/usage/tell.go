package usage

import (
	"context"
	"errors"
	"sort"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// Bounds of what the state is told. All gateways together write no more than about
// four batches a second, whatever their number.
const (
	rowsAtOnce    = 500     // sums in a batch
	recordsAtOnce = 100_000 // that are summed up by one
	batchesAtOnce = 20      // one after the other, where a turn finds more
	perGateway    = 250 * time.Millisecond
	soon          = time.Second     // after the start
	lastWords     = 2 * time.Second // at the end
	versionsLevel = 5               // of the cluster, from which on sums are of one version of a deployment
)

// tellAll tells the state in turns until ctx ends, and once more then.
func (l *Ledger) tellAll(ctx context.Context) {
	turn := time.NewTimer(min(soon, l.cfg.Every))
	defer turn.Stop()
	for {
		select {
		case <-turn.C:
		case <-ctx.Done():
			l.writer.Wait()
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
			defer cancel()
			_ = l.Tell(last)
			return
		}
		if err := l.Tell(ctx); err != nil && ctx.Err() == nil {
			l.cfg.Log.Warn("the state was not told what requests have used; their records wait here", "records", l.Backlog(), "error", err)
		}
		if err := l.retain(); err != nil {
			l.cfg.Log.Warn("old records of the usage ledger stay", "error", err)
		}
		turn.Reset(max(l.cfg.Every, time.Duration(l.cfg.Gateways())*perGateway))
	}
}

// Tell has the state count what it lacks of the ledger, within bounds. One call at a time.
func (l *Ledger) Tell(ctx context.Context) error {
	l.flush(ctx)
	for range batchesAtOnce {
		c, err := l.batch()
		if c == nil || err != nil {
			return err
		}
		asked := l.asks(c)
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		result, err := l.cfg.Propose(ctx, &wire.Command{Principal: "gateway/" + l.cfg.Gateway, AtMs: l.cfg.Now().UnixMilli(),
			Body: &wire.Command_PutUsage{PutUsage: c}})
		cancel()
		if err != nil {
			l.metrics.failed.Inc()
			return err
		}
		if err := l.answered(c, asked, result); err != nil {
			l.metrics.refused.Inc()
			return err
		}
	}
	return nil
}

// batch sums up what comes next; nil: there is nothing.
func (l *Ledger) batch() (*wire.PutUsage, error) {
	l.mu.Lock()
	id, base, told, onDisk := l.mu.id, l.mu.base, l.mu.told, l.mu.onDisk
	l.mu.Unlock()
	if told >= onDisk {
		return nil, nil
	}
	it, err := l.db.Pebble().NewIter(&pebble.IterOptions{LowerBound: recordKey(told + 1), UpperBound: recordKey(onDisk + 1)})
	if err != nil {
		return nil, err
	}
	s := sum{versions: l.cfg.Level() >= versionsLevel}
	through, n := onDisk, uint64(0)
	var r scan
	for ok := it.First(); ok; ok = it.Next() {
		added, err := n < recordsAtOnce, r.read(it.Key(), it.Value())
		if added && err == nil {
			added, err = s.add(&r, rowsAtOnce)
		}
		if err != nil {
			return nil, errors.Join(err, it.Close())
		}
		if !added {
			through = numberOf(it.Key()) - 1
			break
		}
		n++
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return nil, err
	}
	return &wire.PutUsage{Ledger: id, Gateway: l.cfg.Gateway, After: told - base, Through: through - base, Rows: s.rows,
		Dropped: through - told - n}, nil
}

// asks notes that the state is asked to count c, and returns how far it was before.
func (l *Ledger) asks(c *wire.PutUsage) (before uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before = l.mu.asked
	l.mu.asked = max(before, l.mu.base+c.GetThrough())
	return before
}

// answered goes by what the state says that it has. asked is how far it had been
// asked to count before c: what it has beyond is of a disk that this one was copied from.
func (l *Ledger) answered(c *wire.PutUsage, asked uint64, result *wire.Result) error {
	l.mu.Lock()
	base, id := l.mu.base, l.mu.id
	l.mu.Unlock()
	has := base + result.GetVersion()
	switch code := result.GetCode(); {
	case code == "":
		l.metrics.counted.Inc()
		l.metrics.rows.Add(float64(len(c.GetRows())))
		if c.GetDropped() > 0 {
			l.metrics.dropped.Add(float64(c.GetDropped()))
			l.cfg.Log.Error("requests are missing in the usage that the state counts: their records were dropped before it could be told", "records", c.GetDropped())
		}
	case code != string(spec.CodeConflict):
		return spec.Errorf(spec.Code(code), "%s", result.GetMessage())
	}
	if has > asked && (result.GetCode() != "" || has > base+c.GetThrough()) {
		l.cfg.Log.Warn("the state has more of the usage ledger than this disk, which was set back: another ledger begins", "ledger", id, "state", has, "disk", asked)
		return l.renew(asked)
	}
	l.mu.Lock()
	l.mu.told = has
	l.mu.Unlock()
	b := l.db.Pebble().NewBatch()
	defer b.Close()
	if err := b.Set(toldKey, be(has), nil); err != nil {
		return err
	}
	return l.db.Apply(b)
}

// Backlog is how many records the state has not been told of.
func (l *Ledger) Backlog() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.next - 1 - l.mu.told
}

// retainAtOnce is how many records one turn looks at.
const retainAtOnce = 200_000

// retain drops records that the state has and that are old, and the oldest of all
// where there are too many bytes.
func (l *Ledger) retain() error {
	l.mu.Lock()
	first, onDisk, told, bytes, lowest := l.mu.first, l.mu.onDisk, l.mu.told, l.mu.stored, l.mu.lowest
	l.mu.Unlock()
	oldest := l.cfg.Now().Add(-l.cfg.Keep()).UnixMilli()
	it, err := l.db.Pebble().NewIter(&pebble.IterOptions{LowerBound: recordKey(first), UpperBound: recordKey(onDisk + 1)})
	if err != nil {
		return err
	}
	start := first
	if bytes-lowest > l.cfg.Bytes { // those for which there is no room are the first, and go without a look at each
		start += uint64(sort.Search(retainAtOnce, func(i int) bool {
			return !it.SeekGE(recordKey(first+uint64(i))) || bytes-beforeOf(it.Value(), bytes) <= l.cfg.Bytes
		}))
	}
	var r scan
	end := start
	lowest = bytes
	for ok := it.SeekGE(recordKey(start)); ok; ok = it.Next() {
		n := numberOf(it.Key())
		end, lowest = n, beforeOf(it.Value(), bytes)
		if n > told || n-first >= retainAtOnce {
			break
		}
		if err := r.read(it.Key(), it.Value()); err != nil {
			return errors.Join(err, it.Close())
		}
		if r.atMs() >= oldest {
			break
		}
		end, lowest = n+1, bytes
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil || end == first {
		return err
	}
	b := l.db.Pebble().NewBatch()
	defer b.Close()
	if err := b.DeleteRange(recordKey(first), recordKey(end), nil); err != nil {
		return err
	}
	if err := l.db.Apply(b); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.first, l.mu.lowest = end, lowest
	return nil
}
