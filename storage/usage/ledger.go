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

// Keys after storage.Usage. Numbers are big-endian. After storage.UsageRecords comes
// number(8) -> bytes of all records before it (8), UsageRecord.
const (
	identityMark = 0x00 // base(8) id
	toldMark     = 0x01 // the number of the last record that the state has (8)
	lifeMark     = 0x00 // after toldMark, as older builds take all after storage.UsageRecords for records: the life (8) that frames of the journal are of
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
	Journal    int64                // bytes of the journal; 0: there is none, and each Settle waits for the disk
	Gather     time.Duration        // how long records are in the journal alone; 0: 75 ms
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
	size    int           // of half the journal
	life    uint64        // of its frames
	wake    chan struct{} // the writer's, who sleeps
	hurry   chan struct{} // its too, while it gathers
	stop    chan struct{}
	writer  sync.WaitGroup
	teller  sync.WaitGroup
	leave   context.CancelFunc // the teller
	work    context.Context
	once    sync.Once

	mu struct {
		sync.Mutex
		fill    *half  // takes records
		old     *half  // goes to Pebble; nil: none
		spare   []byte // for the next half
		closed  bool   // nothing is taken any more
		stands  bool   // the disk has let somebody wait in vain and not written since
		awake   bool   // the writer is
		hurried bool   // it was told to make haste with what is in fill
		id      string
		base    uint64 // what is before the ledger's first number
		first   uint64 // number of the oldest record kept, next where there is none
		next    uint64 // what the next record gets
		onDisk  uint64 // every record up to it is
		told    uint64 // the state has every record up to it
		asked   uint64 // the state may have been asked to count so far
		bytes   uint64 // of all records ever
		stored  uint64 // of those of them that are on disk
		lowest  uint64 // of those before the oldest one kept

		journal storage.File // nil: it is not in use
		tried   time.Time    // when it was laid out last
		writing *half        // of which somebody writes to the journal; nil: nobody does
		since   time.Time    // from when on
		syncing time.Time    // from when on a batch is on its way to the disk; zero: none is

		put, batches, full, writes uint64 // records taken, batches written, records for which there was no room, writes to the journal
	}
}

// Open returns the ledger in db, or begins one. There may be one at a time.
func Open(db *storage.DB, c Config) (*Ledger, error) {
	c.complete()
	l := &Ledger{db: db, cfg: c, size: int(c.Journal / 2), wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1), stop: make(chan struct{})}
	l.work, l.leave = context.WithCancel(context.Background())
	if err := l.recover(); err != nil {
		return nil, fmt.Errorf("opening the usage ledger: %w", err)
	}
	if err := l.load(); err != nil {
		return nil, fmt.Errorf("opening the usage ledger: %w", err)
	}
	l.mu.fill = &half{first: l.mu.next}
	l.metrics = newMetrics(c.Registerer, l)
	l.lay()
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
	if c.Gather == 0 {
		c.Gather = 75 * time.Millisecond
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
	read := l.reader(&err)
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
	m.first, m.lowest, m.stored = m.next, m.bytes, m.bytes
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

// reader returns a function that has use look at what is under a key, if there is something. Errors join err.
func (l *Ledger) reader(err *error) func(key []byte, use func([]byte)) {
	return func(key []byte, use func([]byte)) {
		if e := l.db.Read(key, func(v []byte) error { use(v); return nil }); e != nil && !errors.Is(e, pebble.ErrNotFound) {
			*err = errors.Join(*err, e)
		}
	}
}

// renew makes what comes after base another ledger, and forgets what is before. It is for load and the teller.
func (l *Ledger) renew(base uint64) error {
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
	l.mu.Lock()
	defer l.mu.Unlock()
	m := &l.mu
	m.id, m.base, m.told, m.first = id, base, base, max(m.first, base+1)
	return nil
}

var (
	identityKey = storage.Usage.Key([]byte{identityMark})
	toldKey     = storage.Usage.Key([]byte{toldMark})
	lifeKey     = storage.Usage.Key([]byte{toldMark, lifeMark})
)

func recordKey(n uint64) []byte { return appendRecordKey(nil, n) }

func appendRecordKey(dst []byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, storage.UsageRecords...), n)
}

func numberOf(key []byte) uint64 { return binary.BigEndian.Uint64(key[len(key)-8:]) }

func be(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
