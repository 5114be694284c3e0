package usage

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage"
)

// Keys after storage.Usage. Numbers are big-endian.
const (
	identityMark = 0x00 // base(8) id
	toldMark     = 0x01 // the number of the last record that the state has (8)
	recordMark   = 0x02 // number(8) -> bytes of all records before it (8), UsageRecord
)

// Config of a Ledger. What has no default named is required.
type Config struct {
	Gateway string // node
	// Propose writes to the state, as the gateway's Proposer does.
	Propose    func(ctx context.Context, c *wire.Command) (*wire.Result, error)
	Gateways   func() int           // how many are alive; nil: 1
	Level      func() uint32        // the feature level of the cluster; nil: that of this build
	Keep       func() time.Duration // how long records are kept that the state has; nil: 3 days
	Wait       time.Duration        // the longest that Settle waits; 0: 1 s
	Every      time.Duration        // between two turns of telling the state; 0: 10 s, more where there are many gateways
	Bytes      uint64               // of records; 0: 256 MiB
	Queue      int                  // records that wait for the disk; 0: 65,536
	Now        func() time.Time     // nil: time.Now
	Registerer prometheus.Registerer
	Log        *slog.Logger // nil: nothing is logged
}

// A Ledger is one gateway's. Its methods may be called from any goroutine.
type Ledger struct {
	db      *storage.DB
	cfg     Config
	metrics *metrics
	wake    chan struct{} // the writer's
	stop    chan struct{}
	writer  sync.WaitGroup
	teller  sync.WaitGroup
	leave   context.CancelFunc // the teller
	work    context.Context
	once    sync.Once

	mu struct {
		sync.Mutex
		queue  *group // nil: empty
		closed bool   // nothing is taken any more
		stands bool   // the disk has let somebody wait in vain and not written since
		id     string
		base   uint64 // what is before the ledger's first number
		first  uint64 // number of the oldest record kept, next where there is none
		next   uint64
		onDisk uint64 // every record up to it is
		told   uint64 // the state has every record up to it
		asked  uint64 // the state may have been asked to count so far
		bytes  uint64 // of all records ever
		lowest uint64 // the same before the oldest one kept

		put, batches, full uint64 // records taken, batches written, records for which the queue had no room
	}
}

// Open returns the ledger in db, or begins one. There may be one at a time.
func Open(db *storage.DB, c Config) (*Ledger, error) {
	c.complete()
	l := &Ledger{db: db, cfg: c, wake: make(chan struct{}, 1), stop: make(chan struct{})}
	l.work, l.leave = context.WithCancel(context.Background())
	if err := l.load(); err != nil {
		return nil, fmt.Errorf("opening the usage ledger: %w", err)
	}
	l.metrics = newMetrics(c.Registerer, l)
	return l, nil
}

func (c *Config) complete() {
	if c.Gateways == nil {
		c.Gateways = func() int { return 1 }
	}
	if c.Level == nil {
		c.Level = func() uint32 { return wire.Level }
	}
	if c.Keep == nil {
		c.Keep = func() time.Duration { return 72 * time.Hour }
	}
	if c.Wait == 0 {
		c.Wait = time.Second
	}
	if c.Every == 0 {
		c.Every = 10 * time.Second
	}
	if c.Bytes == 0 {
		c.Bytes = 256 << 20
	}
	if c.Queue == 0 {
		c.Queue = 64 << 10
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// load finds what is on disk. All of it stays there: Pebble has written what it
// found in its log to tables before it opens.
func (l *Ledger) load() error {
	m := &l.mu
	var err error
	read := func(key []byte, use func([]byte)) {
		if e := l.db.Read(key, func(v []byte) error { use(v); return nil }); e != nil && !errors.Is(e, pebble.ErrNotFound) {
			err = errors.Join(err, e)
		}
	}
	read(identityKey, func(v []byte) {
		if len(v) > 8 {
			m.base, m.id = binary.BigEndian.Uint64(v), string(v[8:])
		}
	})
	read(toldKey, func(v []byte) {
		if len(v) == 8 {
			m.told = binary.BigEndian.Uint64(v)
		}
	})
	if err != nil {
		return err
	}
	it, err := l.db.Pebble().NewIter(&pebble.IterOptions{LowerBound: recordKey(0), UpperBound: storage.Usage.End()})
	if err != nil {
		return err
	}
	m.next = m.told + 1
	if it.Last() {
		before, r, err := decode(it.Key(), it.Value())
		if err != nil {
			return errors.Join(err, it.Close())
		}
		m.next = max(m.next, numberOf(it.Key())+1)
		m.bytes = before + size(r)
	}
	m.first, m.lowest = m.next, m.bytes
	if it.First() {
		m.first = numberOf(it.Key())
		m.lowest = binary.BigEndian.Uint64(it.Value())
	}
	m.onDisk, m.asked = m.next-1, m.next-1
	if err := it.Close(); err != nil || m.id != "" {
		return err
	}
	return l.renew(m.onDisk)
}

// renew makes what comes after base another ledger, and forgets what is before. It
// needs mu, but in load.
func (l *Ledger) renew(base uint64) error {
	m := &l.mu
	id := rand.Text()
	b := l.db.Pebble().NewBatch()
	err := errors.Join(
		b.DeleteRange(recordKey(0), recordKey(base+1), nil),
		b.Set(toldKey, be(base), nil),
		b.Set(identityKey, append(be(base), id...), nil))
	if err != nil {
		return errors.Join(err, b.Close())
	}
	if err := l.db.Commit(b, nil); err != nil {
		return err
	}
	m.id, m.base, m.told, m.first = id, base, base, max(m.first, base+1)
	return nil
}

var (
	identityKey = storage.Usage.Key([]byte{identityMark})
	toldKey     = storage.Usage.Key([]byte{toldMark})
)

func recordKey(n uint64) []byte { return appendRecordKey(nil, n) }

func appendRecordKey(dst []byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, byte(storage.Usage), recordMark), n)
}

func numberOf(key []byte) uint64 { return binary.BigEndian.Uint64(key[len(key)-8:]) }

func be(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
