package relay

import (
	"slices"
	"sync"
	"time"
)

const (
	speedKept  = 128 // answers, of which the 95th percentile is taken
	speedLeast = 32  // before anything is said
	speedAnew  = 16  // answers after which it is reckoned again
	leastHedge = 2 * time.Millisecond
)

// A speed learns in what time 95 of 100 answers come.
type speed struct {
	mu struct {
		sync.Mutex
		last  [speedKept]time.Duration
		count int
		p95   time.Duration
	}
}

// took notes that an answer has come.
func (s *speed) took(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.last[s.mu.count%speedKept] = d
	s.mu.count++
	if s.mu.count < speedLeast || s.mu.count%speedAnew != 0 {
		return
	}
	s.mu.p95 = quantile(s.mu.last[:min(s.mu.count, speedKept)], 0.95)
}

// limit is the time after which an answer is late; 0: nothing is known yet.
func (s *speed) limit() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.p95 == 0 {
		return 0
	}
	return max(s.mu.p95, leastHedge)
}

// quantile is the smallest of the values that at least the share q does not exceed.
func quantile(values []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
