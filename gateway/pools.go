package gateway

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/cluster/spec/pool"
)

// pools show what this gateway has of what is bounded or used again, beside the memory that pool.Collectors tell of.
func (g *Gateway) pools() []prometheus.Collector {
	return []prometheus.Collector{
		pool.Collect("client-connections", pool.Idle|pool.Limit|pool.Refused|pool.Closed, g.crowd.stats),
		pool.Collect("api-workers", pool.Limit, func() pool.Stats {
			return pool.Stats{Gets: g.crowd.asked.Load(), Items: int64(g.server.GetCurrentConcurrency()), Limit: int64(g.server.Concurrency)}
		}),
		pool.Collect("body-memory", pool.Limit|pool.Refused, g.bodies.stats),
		pool.Collect("heavy-bodies", pool.Limit|pool.Waits, g.heavy.stats),
	}
}

// stats tells of the connections: a get is a request, a miss one that a client has opened a connection for.
func (c *crowd) stats() pool.Stats {
	s := pool.Stats{Gets: c.asked.Load(), Misses: c.joined.Load(), Limit: int64(c.most), Refused: c.sent.Load(), Closed: c.closed.Load()}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Items = int64(len(c.mu.open))
	for one := range c.mu.open {
		if one.idle.Load() != 0 {
			s.Idle++
		}
	}
	return s
}

// stats tells of the bytes that are held.
func (m *room) stats() pool.Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return pool.Stats{Gets: m.mu.taken, Items: m.mu.held, Limit: m.most, Refused: m.mu.refused}
}

// stats tells of those who read large bodies.
func (h *heavy) stats() pool.Stats {
	return pool.Stats{Gets: h.entered.Load(), Items: int64(len(h.in)), Limit: int64(cap(h.in)), Waits: h.waits.Load(), Waited: time.Duration(h.waited.Load())}
}
