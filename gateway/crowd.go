package gateway

import (
	"context"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A crowd is the open connections, so many at most. Those on which no whole request has
// come make room, the longest first: nobody is kept out by connections that say nothing,
// or say it slowly.
type crowd struct {
	most int
	mu   struct {
		sync.Mutex
		open map[*conn]struct{}
	}
	sluice   *sluice // for what is still sent on connections that are about to be closed
	refusing atomic.Int32
	asked    atomic.Uint64  // requests that have begun on its connections
	joined   atomic.Uint64  // connections
	closed   atomic.Uint64  // to make room
	sent     atomic.Uint64  // away
	telling  sync.WaitGroup // of those who refuse
	evicted  prometheus.Counter
	refused  prometheus.Counter
	senders  prometheus.Counter // of requests, too slow
	readers  prometheus.Counter // of answers
}

// evictShare is the part of all that makes room at once, so that not everybody who
// comes has the whole crowd looked through.
const evictShare = 64

// mostRefusing bounds those who are being told that there is no room.
const mostRefusing = 256

func newCrowd(most int, reg prometheus.Registerer) *crowd {
	c := &crowd{most: most, sluice: newSluice(),
		evicted: prometheus.NewCounter(prometheus.CounterOpts{Name: "lotabots_gateway_connections_evicted_total",
			Help: "Connections without a request that were closed to make room for others."}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "lotabots_gateway_connections_refused_total",
			Help: "Connections that were refused because requests were under way on all there may be."}),
	}
	slow := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_gateway_slow_clients_total",
		Help: "Connections that were closed because a request came, or an answer was taken, too slowly."}, []string{"of"})
	c.senders, c.readers = slow.WithLabelValues("requests"), slow.WithLabelValues("answers")
	c.mu.open = map[*conn]struct{}{}
	reg.MustRegister(slow)
	reg.MustRegister(c.evicted, c.refused, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "lotabots_gateway_connections_open",
		Help: "Connections of clients."}, func() float64 { return float64(c.size()) }))
	return c
}

func (c *crowd) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.mu.open)
}

// join takes in a connection; false: there is no room, and none could be made.
func (c *crowd) join(one *conn) bool {
	one.crowd = c
	c.joined.Add(1)
	one.idle.Store(time.Now().UnixMilli())
	c.mu.Lock()
	full := len(c.mu.open) >= c.most
	var out []*conn
	if full {
		out = c.idlestLocked(max(1, c.most/evictShare))
		for _, o := range out {
			delete(c.mu.open, o)
		}
	}
	if !full || len(out) > 0 {
		c.mu.open[one] = struct{}{}
	}
	c.mu.Unlock()
	for _, o := range out {
		_ = o.TCPConn.Close() // its server sees it, and closes it once more
	}
	c.evicted.Add(float64(len(out)))
	c.closed.Add(uint64(len(out)))
	return !full || len(out) > 0
}

func (c *crowd) leave(one *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.mu.open, one)
}

// idlestLocked finds up to n, the longest idle first.
func (c *crowd) idlestLocked(n int) []*conn {
	type idler struct {
		c     *conn
		since int64
	}
	var all []idler
	for one := range c.mu.open {
		if since := one.idle.Load(); since != 0 {
			all = append(all, idler{one, since})
		}
	}
	slices.SortFunc(all, func(a, b idler) int { return int(a.since - b.since) })
	out := make([]*conn, min(n, len(all)))
	for i := range out {
		out[i] = all[i].c
	}
	return out
}

// refuse tells a client that there is no room, and closes its connection.
func (c *crowd) refuse(one *conn) {
	c.refused.Inc()
	c.sent.Add(1)
	if c.refusing.Add(1) > mostRefusing {
		c.refusing.Add(-1)
		_ = one.TCPConn.Close()
		return
	}
	c.telling.Go(func() { // for lingerTime at most
		defer c.refusing.Add(-1)
		_ = one.SetWriteDeadline(time.Now().Add(lingerTime))
		_, _ = one.Write(crowded())
		one.linger.Store(true)
		_ = one.Close()
	})
}

// crowded is the answer to those for whom there is no room.
func crowded() []byte {
	return refusal(fasthttp.StatusServiceUnavailable, &spec.Error{Code: spec.CodeOverloaded, Message: "Requests are under way on all connections that this gateway may have.",
		Hint: "Retry after Retry-After, on connections that are kept."})
}

// gone waits until no connection is there, and closes those without a request: one that was
// served on after a stream as the server shut down is not known to that.
func (c *crowd) gone(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for c.size() > 0 {
		c.mu.Lock()
		idle := c.idlestLocked(len(c.mu.open))
		c.mu.Unlock()
		for _, one := range idle {
			_ = one.TCPConn.Close()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// below is the connection to a client as the crowd knows it; nil: it is another kind.
func below(c net.Conn) *conn {
	one, ok := c.(*conn)
	if !ok { // as with TLS
		if t, ok := c.(interface{ NetConn() net.Conn }); ok {
			one, _ = t.NetConn().(*conn)
		}
	}
	return one
}

// busy says that a request is under way on the connection, or that it waits for one.
func busy(c net.Conn, is bool) {
	one := below(c)
	switch {
	case one == nil:
	case is:
		one.idle.Store(0)
	default:
		one.idle.Store(time.Now().UnixMilli())
	}
}

// mostConnections is what the process may have open at a time, less what else it opens.
func mostConnections(wanted int) int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > 1<<30 {
		return wanted
	}
	return min(wanted, max(64, int(limit.Cur)*3/4))
}
