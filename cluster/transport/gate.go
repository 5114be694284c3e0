package transport

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A gate bounds handshakes at a time, in all and by address.
type gate struct {
	limits limits
	mu     struct {
		sync.Mutex
		all  int
		from map[string]int
	}
}

func newGate(l limits) *gate {
	g := &gate{limits: l}
	g.mu.from = map[string]int{}
	return g
}

// enter returns how to leave, once, or nil if there is no room.
func (g *gate) enter(from net.Addr) (leave func()) {
	host, _, err := net.SplitHostPort(from.String())
	if err != nil {
		host = from.String()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.all >= g.limits.handshakes || g.mu.from[host] >= g.limits.handshakesFrom {
		return nil
	}
	g.mu.all++
	g.mu.from[host]++
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.mu.all--
		if g.mu.from[host]--; g.mu.from[host] == 0 {
			delete(g.mu.from, host)
		}
	})
}

// sparse lets one event in a second pass: strangers shall not fill the log.
type sparse struct{ last atomic.Int64 }

func (s *sparse) pass() bool {
	now := time.Now().UnixNano()
	last := s.last.Load()
	return now-last >= int64(time.Second) && s.last.CompareAndSwap(last, now)
}
