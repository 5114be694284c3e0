package hop

import (
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	mostKept = 128             // more than slots, so that bursts need no new ones
	keptFor  = 4 * time.Second // shorter than the servers' own, which begin at 5 s
)

// kept are the connections that wait for a request, the one that waits longest first.
type kept struct {
	mu struct {
		sync.Mutex
		conns  []*conn
		timer  *time.Timer // closes what has waited long; nil: none waits
		closed bool
	}
}

// A conn is a connection of a Caller's.
type conn struct {
	net.Conn
	raw   syscall.RawConn // nil: it has none
	since time.Time       // when it began to wait
	trip  trip
}

func newConn(c net.Conn) *conn {
	k := &conn{Conn: c}
	if s, ok := c.(syscall.Conn); ok {
		k.raw, _ = s.SyscallConn()
	}
	k.trip.turn = k.trip.step
	return k
}

// take returns the one that has waited shortest; nil: there is none.
func (all *kept) take() *conn {
	all.mu.Lock()
	defer all.mu.Unlock()
	last := len(all.mu.conns) - 1
	if last < 0 {
		return nil
	}
	k := all.mu.conns[last]
	all.mu.conns[last] = nil
	all.mu.conns = all.mu.conns[:last]
	counters.waiting.Add(-1)
	return k
}

func (all *kept) put(k *conn) {
	k.since = time.Now()
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.mu.closed || len(all.mu.conns) >= mostKept {
		_ = k.Close()
		counters.aged.Add(1)
		return
	}
	all.mu.conns = append(all.mu.conns, k)
	counters.waiting.Add(1)
	if all.mu.timer == nil {
		all.mu.timer = time.AfterFunc(keptFor, all.sweep)
	}
}

// sweep closes what has waited long, and comes again while any wait.
func (all *kept) sweep() {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.drop(time.Now().Add(-keptFor))
	if all.mu.timer == nil {
		return
	}
	if all.mu.timer = nil; len(all.mu.conns) > 0 {
		all.mu.timer = time.AfterFunc(max(time.Until(all.mu.conns[0].since.Add(keptFor)), 10*time.Millisecond), all.sweep)
	}
}

// drop closes those that wait since before then; mu is held.
func (all *kept) drop(then time.Time) {
	n := 0
	for n < len(all.mu.conns) && !all.mu.conns[n].since.After(then) {
		_ = all.mu.conns[n].Close()
		n++
	}
	left := copy(all.mu.conns, all.mu.conns[n:])
	clear(all.mu.conns[left:])
	all.mu.conns = all.mu.conns[:left]
	counters.waiting.Add(-int64(n))
	counters.aged.Add(uint64(n))
}

// close closes all, and those that come.
func (all *kept) close() {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.mu.closed = true
	all.drop(time.Now().Add(time.Hour))
	if all.mu.timer != nil {
		all.mu.timer.Stop()
		all.mu.timer = nil
	}
}

// counters are of all Callers of this process.
var counters struct {
	dialled, reused, ended, stale, aged atomic.Uint64
	waiting                             atomic.Int64
}

// Counts are those of the connections of all Callers of this process.
type Counts struct {
	Dialled uint64 // ever
	Reused  uint64 // requests on a connection that had been kept
	Stale   uint64 // connections that the server closed while they were kept
	Waiting int64  // that are kept now
	Busy    int64  // that have a request under way
	Aged    uint64 // connections that were closed because nobody had used them, or too many were kept
}

// Count returns the counts.
func Count() Counts {
	ended := counters.ended.Load() // before those that began, lest fewer than none be busy
	c := Counts{Dialled: counters.dialled.Load(), Reused: counters.reused.Load(), Stale: counters.stale.Load(), Waiting: counters.waiting.Load(), Aged: counters.aged.Load()}
	c.Busy = int64(c.Dialled + c.Reused - ended)
	return c
}
