package leash

import (
	"context"
	"sync"
	"time"
)

// A Leash is a context that its owner ends. It may hang on the context that it is begun
// under, and what waits for its end may hang on it. It may be begun once; its methods may
// be called from any goroutine after that. It is not copied.
type Leash struct {
	above context.Context
	due   time.Time
	up    *Leash // that it hangs on; nil: it does not
	tie   Tie    // to up
	mu    struct {
		sync.Mutex
		done  chan struct{} // nil: nobody has asked for it
		ended bool
		err   error // as Err has it
		cause error
		first *Tie        // of what hangs on it
		stop  func() bool // has it hang on another context no more; nil: it does not
	}
}

// Held is what hangs on a Leash.
type Held interface {
	// Ended is called, in a goroutine of its own, when the leash ends first.
	Ended(cause error)
}

// A Tie is by what something hangs on a Leash, and is part of that. It is of one Leash at a time, which guards it, and
// is not copied.
type Tie struct {
	held       Held // nil: it is not tied
	prev, next *Tie
}

var _ context.Context = (*Leash)(nil)

// Begin has l end with above. due is what it tells as its deadline, and the owner's to keep;
// zero: it tells that of above.
func (l *Leash) Begin(above context.Context, due time.Time) {
	l.above, l.due = above, due
	if up, ok := above.(*Leash); ok {
		if l.up = up; !up.Hold(&l.tie, l) {
			l.End(up.Cause())
		}
		return
	}
	if above.Done() == nil {
		return
	}
	if above.Err() != nil {
		l.End(Cause(above))
		return
	}
	stop := context.AfterFunc(above, func() { l.End(Cause(above)) })
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.stop = stop
}

// Ended implements Held.
func (l *Leash) Ended(cause error) { l.End(cause) }

// End ends l by cause, which is context.Canceled where it is nil. Only the first call counts.
func (l *Leash) End(cause error) {
	if cause == nil {
		cause = context.Canceled
	}
	m := &l.mu
	m.Lock()
	if m.ended {
		m.Unlock()
		return
	}
	m.ended, m.cause, m.err = true, cause, context.Canceled
	if cause == context.DeadlineExceeded { //nolint:errorlint // a cause that wraps it is the owner's own word
		m.err = cause
	}
	if m.done != nil {
		close(m.done)
	}
	for t := m.first; t != nil; t = m.first {
		go t.held.Ended(cause)
		l.cutLocked(t)
	}
	stop := m.stop
	m.Unlock()
	if l.up != nil {
		l.up.Let(&l.tie)
	}
	if stop != nil {
		stop()
	}
}

// Hold has h hang on l by t; false: l has ended, and h is told nothing.
func (l *Leash) Hold(t *Tie, h Held) bool {
	m := &l.mu
	m.Lock()
	defer m.Unlock()
	if m.ended {
		return false
	}
	t.held, t.next = h, m.first
	if t.next != nil {
		t.next.prev = t
	}
	m.first = t
	return true
}

// Let has nothing hang on l by t any more; false: nothing did, as l has ended.
func (l *Leash) Let(t *Tie) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.held == nil {
		return false
	}
	l.cutLocked(t)
	return true
}

func (l *Leash) cutLocked(t *Tie) {
	if t.next != nil {
		t.next.prev = t.prev
	}
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		l.mu.first = t.next
	}
	*t = Tie{}
}

// Cause is why l has ended; nil: it has not.
func (l *Leash) Cause() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.cause
}

// Deadline implements context.Context.
func (l *Leash) Deadline() (time.Time, bool) {
	above, ok := l.above.Deadline()
	if l.due.IsZero() || ok && above.Before(l.due) {
		return above, ok
	}
	return l.due, true
}

// Done implements context.Context.
func (l *Leash) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.done == nil {
		l.mu.done = make(chan struct{})
		if l.mu.ended {
			close(l.mu.done)
		}
	}
	return l.mu.done
}

// Err implements context.Context.
func (l *Leash) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.err
}

// itself is the key under which a Leash is its own value.
type itself struct{}

// Value implements context.Context.
func (l *Leash) Value(key any) any {
	if key == (itself{}) {
		return l
	}
	return l.above.Value(key)
}

// AfterFunc is what context.AfterFunc, and contexts derived from l, make use of.
func (l *Leash) AfterFunc(f func()) (stop func() bool) {
	h := &called{f: f}
	if !l.Hold(&h.tie, h) {
		go f()
	}
	return func() bool { return l.Let(&h.tie) }
}

type called struct {
	f   func()
	tie Tie
}

func (c *called) Ended(error) { c.f() }

// Cause is context.Cause, which knows of no cause but the standard library's.
func Cause(ctx context.Context) error {
	cause := context.Cause(ctx)
	if cause == nil {
		return nil
	}
	if l, ok := ctx.Value(itself{}).(*Leash); ok && l.Done() == ctx.Done() {
		return l.Cause()
	}
	return cause
}
