package guard

import (
	"container/list"
	"sync"
	"time"
)

// A Pace bounds how often each of many may do something. When there are too many,
// the one that did it the longest ago is forgotten, and has everything free again.
type Pace struct {
	held int
	now  func() time.Time
	mu   struct {
		sync.Mutex
		of     map[string]*list.Element // of *paced
		recent *list.List               // the newest first
	}
}

type paced struct {
	name string
	free float64
	at   time.Time // as of when free counts
}

// NewPace returns a Pace that tells held names apart. A nil now is time.Now.
func NewPace(held int, now func() time.Time) *Pace {
	if now == nil {
		now = time.Now
	}
	p := &Pace{held: held, now: now}
	p.mu.of, p.mu.recent = map[string]*list.Element{}, list.New()
	return p
}

// Take counts one more of name's, of which perMinute (at least 1) are free, a third
// of these at once. It tells how long to wait instead where there is none.
func (p *Pace) Take(name string, perMinute int) (wait time.Duration) {
	now, rate, burst := p.now(), float64(perMinute)/60, float64(max(1, perMinute/3))
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.pacedLocked(name, burst, now)
	n.free = min(burst, n.free+now.Sub(n.at).Seconds()*rate)
	n.at = now
	if n.free < 1 {
		return time.Duration((1 - n.free) / rate * float64(time.Second))
	}
	n.free--
	return 0
}

func (p *Pace) pacedLocked(name string, burst float64, now time.Time) *paced {
	if e := p.mu.of[name]; e != nil {
		p.mu.recent.MoveToFront(e)
		return e.Value.(*paced)
	}
	if p.mu.recent.Len() >= p.held {
		delete(p.mu.of, p.mu.recent.Remove(p.mu.recent.Back()).(*paced).name)
	}
	n := &paced{name: name, free: burst, at: now}
	p.mu.of[name] = p.mu.recent.PushFront(n)
	return n
}
