package answers

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/leash"
)

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
	unhook := context.AfterFunc(ctx, func() { r.leave(leash.Cause(ctx)) })
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
			if len(f.mu.buf) == cap(f.mu.buf) {
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
	r.leaveLocked(why)
	last := len(f.mu.readers) == 0 && !f.mu.ended
	if last {
		f.mu.left = true
		if f.mu.cancel != nil {
			f.mu.cancel(ErrLeft)
		}
	}
	free := f.freeLocked()
	f.mu.Unlock()
	f.cache.uncount(free)
	if last {
		f.cache.unlist(f)
	}
}

// leaveLocked is for a flight that others read on, or whose end is seen to by the caller.
func (r *Reader) leaveLocked(why error) {
	r.closed, r.cause = true, why
	delete(r.f.mu.readers, r)
	if r.unhook != nil {
		r.unhook()
	}
	r.f.turn.Broadcast()
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

// Hides implements spec.Hiding.
func (r *Reader) Hides() bool {
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	return r.f.mu.hides
}

// Cached implements spec.Cached.
func (r *Reader) Cached() (spec.CacheResult, time.Duration) {
	if r.joined {
		return spec.CacheJoined, 0
	}
	return spec.CacheMiss, 0
}
