package answers

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// maxHeld is how many bytes of a flight's answer are held. A longer one is not kept, and
// goes on as fast as its slowest reader takes it.
const maxHeld = 4 << 20

// ErrLeft is why a flight that nobody waits for any more ends.
var ErrLeft = errors.New("nobody waits for the answer any more")

// A Flight is one answer under way and those who read it. Whoever began it runs it:
// Open, Write as it comes, and Land or Fail. It goes on as long as anybody reads.
type Flight struct {
	cache *Cache
	key   Key
	mu    struct {
		sync.Mutex
		opened  bool
		status  int
		kind    string
		load    spec.Load
		told    bool          // load is
		held    time.Duration // for which a slot was held, where its node tells
		timed   bool          // held is told
		buf     []byte
		base    int64 // of the answer, that are not in buf any more
		ended   bool
		err     error // with which it has ended; nil: whole
		readers map[*Reader]struct{}
		left    bool
		cancel  context.CancelCauseFunc
	}
	turn *sync.Cond // something has changed
}

func newFlight(c *Cache, k Key) *Flight {
	f := &Flight{cache: c, key: k}
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

// Took tells for how long the engine's slot was held, where that is not all the time.
func (f *Flight) Took(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.held, f.mu.timed = d, true
}

// Write adds to the answer. It waits while what is held is full, and fails when nobody reads.
func (f *Flight) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.mu.buf)+len(p) > maxHeld && !f.mu.left {
		if !f.slideLocked() {
			f.turn.Wait()
		}
	}
	if f.mu.left {
		return 0, ErrLeft
	}
	f.mu.buf = append(f.mu.buf, p...)
	f.turn.Broadcast()
	return len(p), nil
}

// slideLocked forgets what all have read; false: that is nothing.
func (f *Flight) slideLocked() bool {
	least := f.mu.base + int64(len(f.mu.buf))
	for r := range f.mu.readers {
		least = min(least, r.at)
	}
	n := int(least - f.mu.base)
	if n == 0 {
		return false
	}
	f.mu.base = least
	f.mu.buf = f.mu.buf[:copy(f.mu.buf, f.mu.buf[n:])]
	return true
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

func (f *Flight) end(err error, load spec.Load, told bool) {
	defer f.cache.flying.Done()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.ended, f.mu.err = true, err
	if told {
		f.mu.load, f.mu.told = load, true
	}
	if f.mu.cancel != nil {
		f.mu.cancel(nil)
	}
	f.turn.Broadcast()
}

// keepable is the answer, if it may be kept.
func (f *Flight) keepable() *Answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.base > 0 || f.mu.status != 200 || !Whole(f.mu.kind, f.mu.buf) {
		return nil
	}
	f.mu.buf = append(make([]byte, 0, len(f.mu.buf)), f.mu.buf...) // without what an append has left over
	return &Answer{ContentType: f.mu.kind, Body: f.mu.buf, At: f.cache.cfg.Now()}
}

// A Reader is one request's way to a flight's answer. It is a spec.Stream once Opened
// has returned without an error.
type Reader struct {
	f      *Flight
	joined bool  // the flight was another's
	at     int64 // read so far
	closed bool
	cause  error // by which it was closed
	unhook func() bool
}

var (
	_ spec.Stream = (*Reader)(nil)
	_ spec.Cached = (*Reader)(nil)
	_ spec.Timed  = (*Reader)(nil)
)

// Opened waits for the answer's head. The error is the flight's, or ctx's, whose end
// closes the reader at any time.
func (r *Reader) Opened(ctx context.Context) error {
	f := r.f
	unhook := context.AfterFunc(ctx, func() { r.leave(context.Cause(ctx)) })
	f.mu.Lock()
	r.unhook = unhook
	for !f.mu.opened && !f.mu.ended && !r.closed {
		f.turn.Wait()
	}
	err := r.cause
	if err == nil && !f.mu.opened {
		err = f.mu.err
	}
	f.mu.Unlock()
	if err != nil {
		_ = r.Close()
	}
	return err
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	f := r.f
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch at := int(r.at - f.mu.base); {
		case r.closed:
			return 0, r.cause
		case at < len(f.mu.buf):
			n := copy(p, f.mu.buf[at:])
			r.at += int64(n)
			if len(f.mu.buf) > maxHeld/2 {
				f.turn.Broadcast() // the writer may wait for room
			}
			return n, nil
		case f.mu.ended && f.mu.err != nil:
			return 0, f.mu.err
		case f.mu.ended:
			return 0, io.EOF
		}
		f.turn.Wait()
	}
}

// Close leaves the flight, which ends where nobody else reads.
func (r *Reader) Close() error {
	r.leave(errClosed)
	return nil
}

var errClosed = errors.New("the answer was closed")

func (r *Reader) leave(why error) {
	f := r.f
	f.mu.Lock()
	if r.closed {
		f.mu.Unlock()
		return
	}
	r.closed, r.cause = true, why
	unhook := r.unhook
	delete(f.mu.readers, r)
	last := len(f.mu.readers) == 0 && !f.mu.ended
	if last {
		f.mu.left = true
		if f.mu.cancel != nil {
			f.mu.cancel(ErrLeft)
		}
	}
	f.turn.Broadcast()
	f.mu.Unlock()
	if unhook != nil {
		unhook()
	}
	if last {
		f.cache.unlist(f)
	}
}

// Status implements spec.Stream.
func (r *Reader) Status() int {
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	return r.f.mu.status
}

// ContentType implements spec.Stream.
func (r *Reader) ContentType() string {
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	return r.f.mu.kind
}

// Load is the instance's as the engine's answer told it. One that joined knows none.
func (r *Reader) Load() (spec.Load, bool) {
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	return r.f.mu.load, r.f.mu.told && !r.joined
}

// Held implements spec.Timed. Who joined has held none.
func (r *Reader) Held() (time.Duration, bool) {
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	if r.joined {
		return 0, true
	}
	return r.f.mu.held, r.f.mu.timed
}

// Cached implements spec.Cached.
func (r *Reader) Cached() (spec.CacheResult, time.Duration) {
	if r.joined {
		return spec.CacheJoined, 0
	}
	return spec.CacheMiss, 0
}
