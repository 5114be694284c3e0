package answers

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// ErrLeft is why a flight that nobody waits for any more ends.
var ErrLeft = errors.New("nobody waits for the answer any more")

// A Flight is one answer under way and those who read it. Whoever began it runs it:
// Open, Write as it comes, and Land or Fail. It goes on as long as anybody reads.
type Flight struct {
	cache *Cache
	key   Key
	by    string // the tenant whose request began it
	mu    struct {
		sync.Mutex
		opened  bool
		status  int
		kind    string
		load    spec.Load
		told    bool          // load is
		held    time.Duration // for which a slot was held, where its node tells
		timed   bool          // held is told
		hides   bool          // as spec.Hiding has it
		buf     []byte
		counted int   // bytes that the cache counts for buf, whose capacity is no more
		base    int64 // of the answer, that are not in buf any more
		ended   bool
		err     error // with which it has ended; nil: whole
		readers map[*Reader]struct{}
		left    bool
		cancel  context.CancelCauseFunc
	}
	turn   *sync.Cond    // something has changed
	waited time.Duration // by who writes, for readers that others are ahead of
}

func newFlight(c *Cache, k Key, by string) *Flight {
	f := &Flight{cache: c, key: k, by: by}
	f.mu.readers = map[*Reader]struct{}{}
	f.turn = sync.NewCond(&f.mu)
	return f
}

// Context is what the flight's work is done under: it has ctx's values, and ends when
// nobody reads any more.
func (f *Flight) Context(ctx context.Context) context.Context {
	f.mu.Lock()
	defer f.mu.Unlock()
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	if f.mu.left {
		cancel(ErrLeft)
	}
	f.mu.cancel = cancel
	return ctx
}

// join adds a reader; nil: it is too late for that.
func (f *Flight) join() *Reader {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.left || f.mu.base > 0 {
		return nil
	}
	r := &Reader{f: f, joined: len(f.mu.readers) > 0}
	f.mu.readers[r] = struct{}{}
	return r
}

// Open tells the answer's head.
func (f *Flight) Open(status int, contentType string, load spec.Load, told bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.opened, f.mu.status, f.mu.kind, f.mu.load, f.mu.told = true, status, contentType, load, told
	f.turn.Broadcast()
}

// Hide tells that what the engine found cached is hidden in the answer.
func (f *Flight) Hide() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.hides = true
}

// Took tells for how long the engine's slot was held, where that is not all the time.
func (f *Flight) Took(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.held, f.mu.timed = d, true
}

// Land ends a flight whose answer is whole, and keeps that if it may be. load is what is
// left at its instance.
func (f *Flight) Land(load spec.Load, told bool) {
	f.cache.land(f, f.keepable())
	f.end(nil, load, told)
}

// Fail ends a flight for all who read, by what it failed of.
func (f *Flight) Fail(err error) {
	f.cache.land(f, nil)
	f.end(err, spec.Load{}, false)
}

// end is for the first of several calls.
func (f *Flight) end(err error, load spec.Load, told bool) {
	f.mu.Lock()
	if f.mu.ended {
		f.mu.Unlock()
		return
	}
	f.mu.ended, f.mu.err = true, err
	if told {
		f.mu.load, f.mu.told = load, true
	}
	if f.mu.cancel != nil {
		f.mu.cancel(nil)
	}
	f.turn.Broadcast()
	free := f.freeLocked()
	f.mu.Unlock()
	f.cache.uncount(free)
	f.cache.flying.Done()
}

// keepable is the answer, if it may be kept.
func (f *Flight) keepable() *Answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.base > 0 || f.mu.status != 200 || !Whole(f.mu.kind, f.mu.buf) {
		return nil
	}
	f.mu.buf = append(make([]byte, 0, len(f.mu.buf)), f.mu.buf...) // without what was left over
	return &Answer{ContentType: f.mu.kind, Body: f.mu.buf, At: f.cache.cfg.Now(), By: f.by}
}

// countedNow is what the cache counts for it.
func (f *Flight) countedNow() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.counted
}

// kept says that what it holds is counted as a kept answer from now on.
func (f *Flight) kept() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.counted = 0
}
