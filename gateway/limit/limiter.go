package limit

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
)

// A Leaser asks the owner of a limit for a share of it.
type Leaser interface {
	Lease(ctx context.Context, r *wire.QuotaRequest) (*wire.QuotaGrant, error)
}

// Config of a Limiter.
type Config struct {
	Leaser   Leaser
	Gateways func() int       // how many there are, this one included; nil: 1
	Now      func() time.Time // nil: time.Now
	Timeout  time.Duration    // of one lease; 0: 500 ms. A request waits no longer for the owner.
	Log      *slog.Logger
}

const (
	// shareFor is how long the share is followed before the owner is asked again.
	shareFor = time.Second
	// tellEvery is how often owners are told of what nobody asks more of.
	tellEvery = time.Second
)

// A Limiter holds this gateway's leases. Start has owners told of what was not used
// and of what was used beyond leases while nobody asks for more. Close ends it.
type Limiter struct {
	cfg    Config
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	asker uint64        // number of this one, by which owners know it
	seq   atomic.Uint64 // of the last request to an owner

	mu    sync.RWMutex
	limit map[string]*entry
	done  bool // no lease is begun any more

	lively struct { // entries that may have something to tell
		sync.Mutex
		list []*entry
	}
}

type entry struct {
	sync.Mutex
	id      string
	b       bucket
	waiting uint64        // units that those who wait need in sum
	waiters int           // how many wait
	asking  chan struct{} // closed when the lease under way has been answered; nil if none is
	listed  bool          // in the limiter's lively

	answered uint64 // number of the last request that the owner has answered, or that was none of this entry's
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
	l := &Limiter{cfg: cfg, asker: rand.Uint64() | 1, limit: make(map[string]*entry)}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// Start begins to tell owners.
func (l *Limiter) Start() {
	l.wg.Go(func() {
		tick := time.NewTicker(tellEvery)
		defer tick.Stop()
		for {
			select {
			case <-l.ctx.Done():
				return
			case <-tick.C:
				l.tell()
			}
		}
	})
}

// tell has the owners of limits told of what they do not know. Entries that have
// nothing left that could come to be told are no longer looked at.
func (l *Limiter) tell() {
	l.lively.Lock()
	all := l.lively.list
	l.lively.list = nil
	l.lively.Unlock()
	now, kept := l.cfg.Now(), all[:0]
	for _, e := range all {
		e.Lock()
		if e.asking == nil && e.b.untold(now) {
			l.askLocked(e, 0, 0)
		}
		e.listed = e.b.avail != 0 || e.b.owed > 0 || e.b.debt > 0 || e.asking != nil
		if e.listed {
			kept = append(kept, e)
		}
		e.Unlock()
	}
	l.lively.Lock()
	l.lively.list = append(kept, l.lively.list...)
	l.lively.Unlock()
}

// listLocked has tell look at the entry.
func (l *Limiter) listLocked(e *entry) {
	if e.listed {
		return
	}
	e.listed = true
	l.lively.Lock()
	l.lively.list = append(l.lively.list, e)
	l.lively.Unlock()
}

// Close gives back what is leased, as far as owners answer, and waits for all that is
// under way.
func (l *Limiter) Close() {
	l.giveBack()
	l.mu.Lock()
	l.done = true
	l.mu.Unlock()
	l.cancel()
	l.wg.Wait()
}

// giveBack ends every lease and tells its owner.
func (l *Limiter) giveBack() {
	l.mu.RLock()
	done := l.done
	l.mu.RUnlock()
	if done {
		return
	}
	l.lively.Lock()
	all := l.lively.list
	l.lively.list = nil
	l.lively.Unlock()
	now := l.cfg.Now()
	var told []chan struct{}
	for _, e := range all {
		e.Lock()
		e.listed = false
		e.b.expires = now
		if e.asking == nil && e.b.untold(now) {
			l.askLocked(e, 0, 0)
			told = append(told, e.asking)
		}
		e.Unlock()
	}
	for _, c := range told {
		<-c // within Timeout
	}
}

// Forget drops the limits of a subject, as when its key is gone.
func (l *Limiter) Forget(s Scope, name string) {
	prefix := Prefix(s, name)
	l.mu.Lock()
	defer l.mu.Unlock()
	for u := range ids {
		for p := range ids[u] {
			if ids[u][p] != "" {
				delete(l.limit, prefix+ids[u][p])
			}
		}
	}
}

func (l *Limiter) entry(lim *Limit) *entry {
	if lim.Slot == nil {
		return l.find(lim)
	}
	e := lim.Slot.at.Load()
	if e == nil {
		e = l.find(lim)
		lim.Slot.at.Store(e)
	}
	return e
}

func (l *Limiter) find(lim *Limit) *entry {
	l.mu.RLock()
	e := l.limit[lim.ID]
	l.mu.RUnlock()
	if e != nil {
		return e
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e = l.limit[lim.ID]; e == nil {
		e = &entry{id: lim.ID, answered: l.seq.Load()}
		e.b.reset(lim)
		l.limit[lim.ID] = e
	}
	return e
}

// sharersLocked is among how many gateways the limit is shared. Where its owner answers nobody
// needs to know, and it is not asked for.
func (l *Limiter) sharersLocked(e *entry, now time.Time) int {
	if !e.b.sharing(now) {
		return 1
	}
	return l.cfg.Gateways()
}

// Take decides one request that is counted with n under the limit; more than all of
// it counts as all. It does I/O only when there is nothing left to spend. What it
// admits is corrected by Settle.
func (l *Limiter) Take(ctx context.Context, lim *Limit, n uint64) Decision {
	return l.TakeAt(ctx, l.cfg.Now(), lim, n)
}

// TakeAt is Take by one who has just looked at the clock.
func (l *Limiter) TakeAt(ctx context.Context, now time.Time, lim *Limit, n uint64) Decision {
	e := l.entry(lim)
	e.Lock()
	defer e.Unlock()
	if !e.b.is(lim) {
		e.b.change(lim)
	}
	n = min(n, e.b.most())
	e.b.used(now, n)
	l.listLocked(e)
	for try := 0; ; try++ {
		gateways := l.sharersLocked(e, now)
		v := e.b.take(now, n, gateways)
		if v == spend && e.asking == nil && e.b.low(now) {
			l.askLocked(e, 1, 1)
		}
		if v != ask {
			return e.b.decision(now, n, v, gateways)
		}
		if try == 4 || ctx.Err() != nil {
			e.b.need, e.b.denied = n, now.Add(leastDenied)
			e.b.retry = e.b.denied
			return e.b.decision(now, n, deny, gateways)
		}
		if e.asking == nil {
			l.askLocked(e, n, e.waiting+n)
		}
		e.wait(ctx, n)
		now = l.cfg.Now()
	}
}

// Settle corrects what a request was counted with to what it has used. of is the
// decision's Period.
func (l *Limiter) Settle(lim *Limit, reserved, used uint64, of int64) {
	if reserved == used {
		return
	}
	e := l.entry(lim)
	e.Lock()
	defer e.Unlock()
	now := l.cfg.Now()
	e.b.settle(now, min(reserved, most(lim.Amount)), used, of, l.sharersLocked(e, now))
	l.listLocked(e)
}

// wait gives the lock away until the lease under way has been answered.
func (e *entry) wait(ctx context.Context, n uint64) {
	asking := e.asking
	if asking == nil {
		return
	}
	e.waiting += n
	e.waiters++
	e.Unlock()
	select {
	case <-asking:
	case <-ctx.Done():
	}
	e.Lock()
	e.waiting -= n
	e.waiters--
}

// askLocked starts a lease of want, of which less than need is of no use, or just tells
// the owner where both are 0; its answer is taken over under the entry's lock. After
// Close the owner counts as unreachable.
func (l *Limiter) askLocked(e *entry, need, want uint64) {
	req := e.b.request(e.id, need, want)
	req.Asker, req.Seq, req.Answered = l.asker, l.seq.Add(1), e.answered
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.done {
		e.b.failed(l.cfg.Now(), req)
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
		e.b.failed(l.cfg.Now(), req)
		l.cfg.Log.Warn("the owner of a limit did not answer: this gateway goes by what it has, then by its share or refuses",
			"limit", e.id, "error", err)
	} else {
		e.answered = req.GetSeq()
		e.b.answer(l.cfg.Now(), req, grant)
	}
	close(e.asking)
	e.asking = nil
}
