package actors

import (
	"context"
	"sync"
	"time"
)

const (
	watchdogTurn = 10 * time.Second
	abandonAfter = 15 * time.Minute // above every gateway's own patience
)

// streams are the answers under way on this node.
type streams struct {
	mu     sync.Mutex
	open   map[*stream]struct{}
	closed bool
}

// add takes x in, unless the node is shutting down.
func (s *streams) add(x *stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.open == nil {
		s.open = map[*stream]struct{}{}
	}
	s.open[x] = struct{}{}
	return true
}

func (s *streams) remove(x *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, x)
}

func (s *streams) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// where returns the answers that fit, all for nil.
func (s *streams) where(fit func(*stream) bool) (out []*stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for x := range s.open {
		if fit == nil || fit(x) {
			out = append(out, x)
		}
	}
	return out
}

// close ends every answer, and admits no more.
func (s *streams) close() {
	s.mu.Lock()
	s.closed = true
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
