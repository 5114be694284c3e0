package blob

import (
	"context"
	"sync"
	"time"
)

// A Pace bounds how many bytes a second all who share it take together. The zero
// value does not bound. Set may be called at any time.
type Pace struct {
	mu struct {
		sync.Mutex
		rate int64     // bytes a second; 0: unbounded
		next time.Time // when the next bytes may come
	}
}

// Set changes the rate; 0 is without bound.
func (p *Pace) Set(bytesPerSecond int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.rate = max(0, bytesPerSecond)
	p.mu.next = time.Time{}
}

// Wait returns when n more bytes may come, or with ctx's error. It never saves up
// for a burst: a second without bytes is lost.
func (p *Pace) Wait(ctx context.Context, n int) error {
	wait := p.book(n, time.Now())
	if wait <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *Pace) book(n int, now time.Time) time.Duration {
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.rate == 0 {
		return 0
	}
	at := p.mu.next
	if at.Before(now) {
		at = now
	}
	p.mu.next = at.Add(time.Duration(float64(n) / float64(p.mu.rate) * float64(time.Second)))
	return at.Sub(now)
}
