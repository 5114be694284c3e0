package actors

import (
	"context"
	"sync"
	"time"
)

const (
	watchdogTurn = 10 * time.Second
	abandonAfter = 15 * time.Minute // above every gateway's own patience
	alarmEvery   = time.Millisecond // at most
)

// streams are the answers under way on this node.
type streams struct {
	mu      sync.Mutex
	first   *stream
	n       int
	closed  bool
	alarm   *time.Timer // nil: none of them has had a deadline yet
	soonest time.Time   // deadline that the alarm is set for; zero: it is not set
}

// add takes x in, and ends its work at its deadline, unless the node is shutting down.
func (s *streams) add(x *stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if x.next = s.first; x.next != nil {
		x.next.prev = x
	}
	s.first = x
	s.n++
	if !x.due.IsZero() && (s.soonest.IsZero() || x.due.Before(s.soonest)) {
		s.wakeLocked(x.due)
	}
	return true
}

// remove takes x out, which may not be there.
func (s *streams) remove(x *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case x.prev != nil:
		x.prev.next = x.next
	case s.first == x:
		s.first = x.next
	default:
		return
	}
	if x.next != nil {
		x.next.prev = x.prev
	}
	x.prev, x.next = nil, nil
	s.n--
}

func (s *streams) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// where returns the answers that fit, all for nil.
func (s *streams) where(fit func(*stream) bool) (out []*stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for x := s.first; x != nil; x = x.next {
		if fit == nil || fit(x) {
			out = append(out, x)
		}
	}
	return out
}

// wakeLocked sets the alarm. One for all answers, as nearly all end long before their
// deadlines, and a timer of its own is a cost to each.
func (s *streams) wakeLocked(due time.Time) {
	s.soonest = due
	wait := max(time.Until(due), 0)
	if s.alarm == nil {
		s.alarm = time.AfterFunc(wait, s.expire)
		return
	}
	s.alarm.Reset(wait)
}

// expire ends the work for answers whose deadlines have passed, and sets the alarm for
// those of the others.
func (s *streams) expire() {
	now := time.Now()
	var late []*stream
	s.mu.Lock()
	s.soonest = time.Time{}
	for x := s.first; x != nil; x = x.next {
		switch {
		case x.due.IsZero():
		case !x.due.After(now):
			late = append(late, x)
		case s.soonest.IsZero() || x.due.Before(s.soonest):
			s.soonest = x.due
		}
	}
	if next := now.Add(alarmEvery); !s.soonest.IsZero() && !s.closed {
		if s.soonest.Before(next) {
			s.soonest = next
		}
		s.wakeLocked(s.soonest)
	}
	s.mu.Unlock()
	for _, x := range late {
		x.work.End(context.DeadlineExceeded)
	}
}

// close ends every answer, and admits no more.
func (s *streams) close() {
	s.mu.Lock()
	s.closed = true
	if s.alarm != nil {
		s.alarm.Stop()
	}
	s.mu.Unlock()
	for _, x := range s.where(nil) {
		x.abort(errShutdown)
	}
}

// watch gives places back whose holders have died without a word, until ctx ends.
func (s *streams) watch(ctx context.Context) {
	tick := time.NewTicker(watchdogTurn)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.abandon(now)
		}
	}
}

// abandon ends answers that nobody has read for too long.
func (s *streams) abandon(now time.Time) {
	for _, x := range s.where(func(x *stream) bool {
		last := x.moved.Load()
		return last != 0 && now.Sub(time.Unix(0, last)) > abandonAfter
	}) {
		x.abort(errAbandoned)
	}
}
