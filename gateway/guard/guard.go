package guard

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

// Limits on failed attempts of one subject.
type Limits struct {
	Burst int           // that are free; 0: 10
	Every time.Duration // after which one more is free, and the first penalty; 0: 6 s
	Most  time.Duration // that a penalty grows to; 0: 60 s
	Held  int           // subjects that are remembered; 0: 16,384
}

func (l *Limits) complete() {
	if l.Burst == 0 {
		l.Burst = 10
	}
	if l.Every == 0 {
		l.Every = 6 * time.Second
	}
	if l.Most == 0 {
		l.Most = time.Minute
	}
	if l.Held == 0 {
		l.Held = 16 << 10
	}
}

// A Guard remembers the subjects that have failed of late. When there are too
// many, the one that failed the longest ago is forgotten.
type Guard struct {
	limits Limits
	now    func() time.Time
	mu     struct {
		sync.Mutex
		bySubject map[string]*list.Element // of *subject
		recent    *list.List               // the newest failure first
	}
}

// A subject's free attempts come back one by one. One that fails without any is
// held back, each time twice as long, until it has been quiet for long enough to
// have all of them back.
type subject struct {
	name    string
	free    float64
	at      time.Time // as of when free counts
	until   time.Time // held back until then
	penalty time.Duration
}

// New returns a Guard that knows of no failure. A nil now is time.Now.
func New(l Limits, now func() time.Time) *Guard {
	l.complete()
	if now == nil {
		now = time.Now
	}
	g := &Guard{limits: l, now: now}
	g.mu.bySubject, g.mu.recent = map[string]*list.Element{}, list.New()
	return g
}

// Held tells how long the subjects' next attempt is held back: the longest of
// them. 0: it may come.
func (g *Guard) Held(subjects ...string) time.Duration {
	now := g.now()
	g.mu.Lock()
	defer g.mu.Unlock()
	var wait time.Duration
	for _, name := range subjects {
		if e := g.mu.bySubject[name]; e != nil {
			wait = max(wait, e.Value.(*subject).until.Sub(now))
		}
	}
	return wait
}

// Failed counts a failed attempt of the subjects, and tells as Held does what
// held it back already: an attempt that should not have come is not counted.
func (g *Guard) Failed(subjects ...string) (held time.Duration) {
	if held = g.Held(subjects...); held > 0 {
		return held
	}
	now := g.now()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, name := range subjects {
		g.subjectLocked(name, now).fail(now, g.limits)
	}
	return 0
}

func (g *Guard) subjectLocked(name string, now time.Time) *subject {
	if e := g.mu.bySubject[name]; e != nil {
		g.mu.recent.MoveToFront(e)
		return e.Value.(*subject)
	}
	if g.mu.recent.Len() >= g.limits.Held {
		last := g.mu.recent.Back()
		delete(g.mu.bySubject, g.mu.recent.Remove(last).(*subject).name)
	}
	s := &subject{name: name, free: float64(g.limits.Burst), at: now}
	g.mu.bySubject[name] = g.mu.recent.PushFront(s)
	return s
}

func (s *subject) fail(now time.Time, l Limits) {
	if now.After(s.at) { // at is ahead while the subject is held back
		s.free = min(float64(l.Burst), s.free+float64(now.Sub(s.at))/float64(l.Every))
		s.at = now
	}
	if s.free >= float64(l.Burst) {
		s.penalty = 0
	}
	if s.free >= 1 {
		s.free--
		return
	}
	s.penalty = min(max(2*s.penalty, l.Every), l.Most)
	s.until = now.Add(s.penalty)
	s.at = s.until
}

// Address is the subject that an address is: of IPv6 the /64, which is what one
// client usually has.
func Address(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return "address/" + p.String()
		}
	}
	return "address/" + a.String()
}
