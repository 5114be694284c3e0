package batch

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Gateway is the name by which calls that wait for a slot leave their reservations.
const Gateway spec.NodeID = "~batch"

// Config is what a Batcher is given.
type Config struct {
	// Open admits a call to its engine and asks that.
	Open func(ctx context.Context, target spec.Target, call *spec.Call, body []byte) (spec.Stream, error)
	// Reserve tells the device's actor what waits for an instance: calls that wait here, in
	// the name of Gateway, and what came with callers. It must not block.
	Reserve func(device spec.DeviceID, r spec.Reservation)
	Metrics *Metrics // nil: none
	Log     *slog.Logger
}

// A Batcher puts requests together. All methods may be called from any goroutine.
type Batcher struct {
	cfg    Config
	work   context.Context // ends with the Batcher
	cancel context.CancelFunc
	tasks  sync.WaitGroup // calls under way
	mu     struct {
		sync.Mutex
		closed  bool
		lanes   map[Group]*lane
		callers map[spec.InstanceID]int
		most    map[spec.InstanceID]*learnt       // absent: as the limits say
		rest    map[spec.InstanceID]time.Duration // of slots' time, less than accounts tell apart, that nobody has been told yet
		seq     uint64                            // of the last reservation; it begins with the time, as those of gateways
		slots   map[spec.InstanceID][]*turn
	}
}

// A caller is one request that waits for its answer. The Batcher's lock guards it.
type caller struct {
	call    *spec.Call
	request *Request
	tokens  int  // estimated
	solo    bool // it is not put together with others
	came    time.Time
	lane    *lane
	batch   *batch // that serves it; nil: it waits
	gone    bool   // nobody waits for its answer
	held    time.Duration
	ready   chan result // takes one
}

// A result is what becomes of a caller.
type result struct {
	stream *answered
	err    error
}

// A batch is the callers of one call, while it is served.
type batch struct {
	ctx    context.Context // ends when all have left
	cancel context.CancelFunc
	left   int // of its callers, who wait still
}

// New returns a Batcher, which runs nothing until it is asked.
func New(cfg Config) *Batcher {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	b := &Batcher{cfg: cfg}
	b.work, b.cancel = context.WithCancel(context.Background())
	b.mu.lanes, b.mu.callers = map[Group]*lane{}, map[spec.InstanceID]int{}
	b.mu.most, b.mu.rest, b.mu.slots = map[spec.InstanceID]*learnt{}, map[spec.InstanceID]time.Duration{}, map[spec.InstanceID][]*turn{}
	b.mu.seq = uint64(max(time.Now().UnixMicro(), 0))
	return b
}

// Close ends what runs and waits for it. What comes afterwards is rejected as draining.
func (b *Batcher) Close() {
	b.mu.Lock()
	b.mu.closed = true
	for _, l := range b.mu.lanes {
		for _, c := range l.waiting {
			b.deliverLocked(c, result{err: errClosed})
		}
		l.back(nil)
	}
	b.mu.Unlock()
	b.cancel()
	b.tasks.Wait()
}

var errClosed = &spec.Rejection{Reason: spec.RejectDraining}

// Forget drops what was learnt of an instance, whose engine has ended.
func (b *Batcher) Forget(id spec.InstanceID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.mu.most, id)
	delete(b.mu.rest, id)
}

// Callers counts those who wait or are served on an instance.
func (b *Batcher) Callers(id spec.InstanceID) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.callers[id]
}

// Serve has the request served together with others, and returns its own part of the
// answer, or what Open returned. It gives a place back that was kept for the call. The
// call's deadline is the caller's own.
func (b *Batcher) Serve(ctx context.Context, target spec.Target, call *spec.Call, r *Request, limits Limits) (spec.Stream, error) {
	if call.Lease != 0 || call.Waits != nil {
		w := call.Waiting(target.Instance)
		w.Declined = call.Lease
		b.cfg.Reserve(target.Device, w)
	}
	if !call.Deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, call.Deadline)
		defer cancel()
	}
	c := &caller{call: call, request: r, tokens: max(call.PromptTokens, len(r.inputs)), came: time.Now(), ready: make(chan result, 1)}
	c.solo = call.Alone || r.empty || limits.Context > 0 && c.tokens > limits.Context*len(r.inputs)
	if err := b.join(target, c, limits); err != nil {
		return nil, err
	}
	select {
	case out := <-c.ready:
		if out.err != nil {
			return nil, out.err
		}
		return out.stream, nil
	case <-ctx.Done():
		b.leave(c)
		return nil, ctx.Err()
	}
}

// join has the caller wait in its lane, and begins a call where one is due.
func (b *Batcher) join(target spec.Target, c *caller, limits Limits) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.closed {
		return errClosed
	}
	if n := b.mu.callers[target.Instance]; n >= max(limits.Callers, 1) {
		return &spec.Rejection{Reason: spec.RejectBusy, RetryAfter: minWait}
	}
	b.mu.callers[target.Instance]++
	g := Group{Target: target, Deployment: c.call.Deployment, Version: c.call.Version, Adapter: c.call.Adapter, Path: c.call.Path,
		Parameters: c.request.parameters, Tokens: c.request.tokens}
	l := b.mu.lanes[g]
	if l == nil {
		l = &lane{group: g}
		b.mu.lanes[g] = l
	}
	l.limits = b.learntLocked(target.Instance, limits)
	c.lane = l
	l.add(c)
	b.planLocked(l)
	return nil
}

// planLocked begins the lane's next call if it is due, now or in a while.
func (b *Batcher) planLocked(l *lane) {
	for {
		in, ok := l.due(time.Now())
		switch {
		case !ok || b.mu.closed:
			if len(l.waiting) == 0 && l.running == 0 {
				delete(b.mu.lanes, l.group)
			}
			return
		case in > 0:
			if !l.timed {
				l.timed = true
				b.tasks.Go(func() { b.later(l, in) })
			}
			return
		}
		l.running++
		b.tasks.Go(func() { b.run(l) })
		if l.limits.Calls <= 1 || !l.full() { // what it cuts is not cut yet
			return
		}
	}
}

// later plans anew when what waits in the lane may be due.
func (b *Batcher) later(l *lane, in time.Duration) {
	t := time.NewTimer(in)
	defer t.Stop()
	select {
	case <-t.C:
	case <-b.work.Done():
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if l.timed = false; b.mu.lanes[l.group] == l {
		b.planLocked(l)
	}
}

// leave is for a caller who does not wait any more.
func (b *Batcher) leave(c *caller) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.gone {
		return
	}
	c.gone = true
	b.cfg.Metrics.left.Inc()
	b.departLocked(c)
	if c.batch == nil {
		c.lane.remove(c)
		if len(c.lane.waiting) == 0 {
			b.abandonLocked(c.lane)
		}
		b.planLocked(c.lane)
		return
	}
	if c.batch.left--; c.batch.left == 0 {
		c.batch.cancel()
	}
}

func (b *Batcher) departLocked(c *caller) {
	id := c.lane.group.Instance
	if b.mu.callers[id]--; b.mu.callers[id] <= 0 {
		delete(b.mu.callers, id)
	}
}

// deliver gives a caller its answer, unless it has left.
func (b *Batcher) deliver(c *caller, out result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deliverLocked(c, out)
}

func (b *Batcher) deliverLocked(c *caller, out result) {
	if c.gone {
		return
	}
	c.gone = true
	b.departLocked(c)
	if c.batch != nil {
		c.batch.left--
	}
	c.ready <- out
}
