package limit

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
)

// A Leaser asks the owner of a limit for a share of it.
type Leaser interface {
	Lease(ctx context.Context, r *wire.QuotaRequest) (*wire.QuotaGrant, error)
}

// A Decision tells what became of one request.
type Decision struct {
	OK         bool
	Shared     bool // decided by this gateway's share, without the owner
	Limit      uint32
	Remaining  uint32
	Reset      time.Duration // until all of the limit is there again
	RetryAfter time.Duration // where not OK
}

// Config of a Limiter.
type Config struct {
	Leaser   Leaser
	Gateways func() int       // how many are alive, this one included; nil: 1
	Now      func() time.Time // nil: time.Now
	Timeout  time.Duration    // of one lease; 0: 500 ms. A request waits no longer for the owner.
	Log      *slog.Logger
}

// shareFor is how long the share is followed before the owner is asked again.
const shareFor = time.Second

// A Limiter holds this gateway's leases. Close ends what it has under way.
type Limiter struct {
	cfg    Config
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.RWMutex
	limit map[string]*entry
	done  bool // no lease is begun any more
}

type entry struct {
	sync.Mutex
	id      string
	b       bucket
	waiting int
	asking  chan struct{} // closed when the lease under way has been answered; nil if none is
}

// New returns a Limiter without leases.
func New(cfg Config) *Limiter {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Gateways == nil {
		cfg.Gateways = func() int { return 1 }
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 500 * time.Millisecond
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	l := &Limiter{cfg: cfg, limit: make(map[string]*entry)}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// Close gives up leases under way and waits for them.
func (l *Limiter) Close() {
	l.mu.Lock()
	l.done = true
	l.mu.Unlock()
	l.cancel()
	l.wg.Wait()
}

// Forget drops a limit, as when its key is gone.
func (l *Limiter) Forget(id string) {
	l.mu.Lock()
	delete(l.limit, id)
	l.mu.Unlock()
}

func (l *Limiter) entry(id string, perMin uint32) *entry {
	l.mu.RLock()
	e := l.limit[id]
	l.mu.RUnlock()
	if e != nil {
		return e
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e = l.limit[id]; e == nil {
		e = &entry{id: id}
		e.b.reset(perMin)
		l.limit[id] = e
	}
	return e
}

// Allow decides one request under the limit id of perMin requests a minute,
// which is not 0. It does I/O only when there is nothing left to spend.
func (l *Limiter) Allow(ctx context.Context, id string, perMin uint32) Decision {
	e := l.entry(id, perMin)
	e.Lock()
	defer e.Unlock()
	now := l.cfg.Now()
	if e.b.perMin != perMin {
		e.b.reset(perMin)
	}
	e.b.used(now)
	for try := 0; ; try++ {
		gateways := l.cfg.Gateways()
		v := e.b.take(now, gateways)
		if v == spend && e.asking == nil && e.b.low(now) {
			l.askLocked(e)
		}
		if v != ask {
			return e.b.decision(now, v, gateways)
		}
		if try == 4 || ctx.Err() != nil {
			e.b.denied = now.Add(50 * time.Millisecond)
			return e.b.decision(now, deny, gateways)
		}
		if e.asking == nil {
			l.askLocked(e)
		}
		e.wait(ctx)
		now = l.cfg.Now()
	}
}

// wait gives the lock away until the lease under way has been answered.
func (e *entry) wait(ctx context.Context) {
	asking := e.asking
	if asking == nil {
		return
	}
	e.waiting++
	e.Unlock()
	select {
	case <-asking:
	case <-ctx.Done():
	}
	e.Lock()
	e.waiting--
}

// askLocked starts a lease; its answer is taken over under the entry's lock.
// After Close the owner counts as unreachable.
func (l *Limiter) askLocked(e *entry) {
	req := e.b.request(e.id, e.waiting+1)
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.done {
		e.b.failed(l.cfg.Now(), req.GetGiveBack())
		return
	}
	e.asking = make(chan struct{})
	l.wg.Go(func() { l.lease(e, req) })
}

func (l *Limiter) lease(e *entry, req *wire.QuotaRequest) {
	ctx, cancel := context.WithTimeout(l.ctx, l.cfg.Timeout)
	grant, err := l.cfg.Leaser.Lease(ctx, req)
	cancel()
	e.Lock()
	defer e.Unlock()
	if err != nil {
		e.b.failed(l.cfg.Now(), req.GetGiveBack())
		l.cfg.Log.Warn("the owner of a limit did not answer: this gateway admits its share",
			"limit", e.id, "error", err)
	} else {
		e.b.answer(l.cfg.Now(), grant)
	}
	close(e.asking)
	e.asking = nil
}
