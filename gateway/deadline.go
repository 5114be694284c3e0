package gateway

import (
	"sync"
	"time"
)

// A deadline is set anew with each request, mostly to later, and a timer is set for it at a cost. So one that is
// set already stays, and where it fires before the deadline has passed, it is set for what is left.
type deadline struct {
	mu    sync.Mutex
	due   time.Time // zero: there is none
	armed time.Time // when the timer fires, which is not after due; zero: it is not set
}

// set makes t the deadline. arm sets the timer.
func (d *deadline) set(t time.Time, arm func(time.Time) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.due = t
	if !d.armed.IsZero() && (t.IsZero() || !t.Before(d.armed)) {
		return nil
	}
	d.armed = t
	return arm(t)
}

// early tells, once the timer has fired, whether that was before the deadline, and sets it then.
func (d *deadline) early(now time.Time, arm func(time.Time) error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.due.IsZero() && !d.due.After(now) {
		return false
	}
	d.armed = d.due
	return arm(d.due) == nil
}
