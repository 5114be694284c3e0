package gateway

import (
	"runtime"
	"sync"
	"time"
)

// A sluice lets so many bytes of large bodies in at a time, of those that are refused too:
// who floods a gateway has its own sending slowed down by that, and not the requests of
// others. What is over is owed, and each who takes waits for what is owed by then.
type sluice struct {
	rate, burst float64 // bytes a second, and at once
	mu          struct {
		sync.Mutex
		free float64 // below 0: owed
		at   time.Time
	}
}

const (
	// sluiceFrom is the size up to which a body passes freely.
	sluiceFrom = 1 << 20
	// sluiceRate for each processor costs a tenth of it or two.
	sluiceRate = 128 << 20
	// sluiceWait bounds how long one piece waits.
	sluiceWait = time.Second
)

func newSluice() *sluice {
	s := &sluice{rate: float64(sluiceRate * runtime.GOMAXPROCS(0))}
	s.burst = s.rate / 20
	s.mu.free = s.burst
	return s
}

// take lets n bytes in and tells for how long to read no more.
func (s *sluice) take(n int, now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if passed := now.Sub(s.mu.at); passed > 0 {
		s.mu.free, s.mu.at = min(s.burst, s.mu.free+passed.Seconds()*s.rate), now
	}
	s.mu.free -= float64(n)
	if s.mu.free >= 0 {
		return 0
	}
	return min(sluiceWait, time.Duration(-s.mu.free/s.rate*float64(time.Second)))
}
