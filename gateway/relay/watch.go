package relay

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/leash"
)

// Why the watcher ended a request's work: causes of its context.
var (
	errClientGone = errors.New("client closed the connection")
	errStalled    = errors.New("no byte from the engine for too long")
	errNodeGone   = errors.New("the serving node left the cluster")
	errDeadline   = errors.New("deadline passed")
	errShutdown   = errors.New("gateway is shutting down")
)

const (
	sweepEvery  = 20 * time.Millisecond
	youth       = 3 // sweeps after which the kernel is asked, by two calls, to tell when a client leaves
	maxStep     = 100 * time.Millisecond
	watchShards = 16
	// fewWatched requests in a shard are looked at in each sweep. Of more, the turn comes
	// later, by most sweeps at most: ten thousand streams that wait would take a fifth of a core.
	fewWatched = 64
	mostSweeps = 5
	// suspectAfter is how long a request on a node that is no member any more
	// may go without a byte. One whose bytes still come is left alone.
	suspectAfter = 250 * time.Millisecond
	// early is how long before the deadline a serving node may end a request for it:
	// it is told what remains in whole milliseconds, which older builds round down.
	early = 2 * time.Millisecond
)

// A watcher looks after all requests under way from one goroutine: whether the
// client is still there, whether bytes come, whether the deadline has passed.
// A request that takes less than a few sweeps costs two list operations; from then on
// the kernel tells when its client leaves.
type watcher struct {
	alive  func(spec.NodeID) bool
	hangup *hangups // since Start; nil: the sweeps look
	probes probes
	clock  atomic.Int64 // ns that it has been watching for, as of the last sweep
	shards [watchShards]struct {
		sync.Mutex
		head watch // in the order in which they came
		n    int
	}
	next  atomic.Uint32
	turn  int         // sweeps so far
	over  atomic.Bool // endAll was called: no request begins any more
	stop  chan struct{}
	ended chan struct{}
}

// A watch is one request under way. Its fields but progress are guarded by the
// shard's lock.
type watch struct {
	prev, next *watch
	shard      uint32
	conn       syscall.Conn
	work       *leash.Leash  // the present attempt's; nil: there is none under way
	node       spec.NodeID   // of the present attempt
	limit      time.Duration // without a byte; 0: none
	deadline   int64         // Unix ns; 0: none
	cause      error         // final: no further attempt
	young      uint8         // sweeps that pass it by
	told       bool          // the kernel tells when the client leaves
	mark       int32         // by which it does
	progress   atomic.Int64  // the clock at the last byte
	movable    atomic.Bool   // another instance could go on with the stream
}

func newWatcher(alive func(spec.NodeID) bool) *watcher {
	w := &watcher{alive: alive, stop: make(chan struct{}), ended: make(chan struct{})}
	for i := range w.shards {
		h := &w.shards[i].head
		h.prev, h.next = h, h
	}
	return w
}

func (w *watcher) run() {
	defer close(w.ended)
	if w.hangup != nil {
		go w.hangup.run(w.leave)
		defer w.hangup.close()
	}
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-w.stop:
			return
		case <-tick.C:
			now := time.Now()
			w.step(now.Sub(last))
			w.sweep(now.UnixNano())
			last = now
		}
	}
}

// step moves the clock on. Time in which this process did not run, stopped or
// starved, does not count against those whose bytes it could not have seen.
func (w *watcher) step(passed time.Duration) { w.clock.Add(int64(min(passed, maxStep))) }

func (w *watcher) add(x *watch, conn net.Conn, deadline time.Time) {
	x.conn = rawConn(conn)
	x.cause, x.work, x.node, x.limit, x.deadline, x.young, x.told = nil, nil, "", 0, 0, youth, false
	if !deadline.IsZero() {
		x.deadline = deadline.UnixNano()
	}
	x.shard = w.next.Add(1) % watchShards
	s := &w.shards[x.shard]
	s.Lock()
	x.prev, x.next = s.head.prev, &s.head
	x.prev.next, x.next.prev = x, x
	s.n++
	if w.over.Load() {
		x.cause = errShutdown
	}
	s.Unlock()
}

// remove ends that, and tells whether x was removed before anybody looked at it.
func (w *watcher) remove(x *watch) (unseen bool) {
	s := &w.shards[x.shard]
	s.Lock()
	defer s.Unlock()
	if x.told {
		w.hangup.remove(x)
		x.told = false
	}
	if x.prev != nil {
		x.prev.next, x.next.prev = x.next, x.prev
		x.prev, x.next = nil, nil
		s.n--
	}
	return x.young > 0 && x.cause == nil
}

// attempt makes work that of the present attempt; the error is why there must be no
// further one.
func (w *watcher) attempt(x *watch, work *leash.Leash) error {
	s := &w.shards[x.shard]
	s.Lock()
	defer s.Unlock()
	x.work, x.node, x.limit = work, "", 0
	return x.cause
}

// expect says that bytes should come from node at least every limit.
func (w *watcher) expect(x *watch, node spec.NodeID, limit time.Duration) {
	s := &w.shards[x.shard]
	s.Lock()
	defer s.Unlock()
	x.node, x.limit = node, limit
	x.progress.Store(w.clock.Load())
}

// finalCause is why the request is over; nil: it is not. Once the deadline has passed it is
// that, whether or not a sweep has been by: the serving node ends its engine's work on the
// dot, and what breaks from then on is nobody's failure.
func (w *watcher) finalCause(x *watch) error {
	s := &w.shards[x.shard]
	s.Lock()
	defer s.Unlock()
	if x.cause == nil && x.deadline != 0 && time.Now().UnixNano() >= x.deadline-int64(early) {
		x.finish(errDeadline)
	}
	return x.cause
}

// leave ends a request whose client is known to be gone.
func (w *watcher) leave(x *watch) {
	s := &w.shards[x.shard]
	s.Lock()
	defer s.Unlock()
	if x.cause == nil {
		x.finish(errClientGone)
	}
}

// touch says that a byte came.
func (w *watcher) touch(x *watch) { x.progress.Store(w.clock.Load()) }

// sweep judges those whose turn it is; now is Unix ns, for the deadlines. The young are the
// last of their shard.
func (w *watcher) sweep(now int64) {
	w.turn++
	for i := range w.shards {
		s := &w.shards[i]
		s.Lock()
		for x := s.head.prev; x.young > 0; x = x.prev { // the head's is 0
			if x.young--; x.young == 0 {
				x.told = w.hangup != nil && x.conn != nil && w.hangup.add(x)
			}
		}
		if (w.turn+i)%sweepsFor(s.n) == 0 {
			for x := s.head.next; x != &s.head && x.young == 0; x = x.next {
				w.judge(x, now)
			}
		}
		s.Unlock()
	}
}

// sweepsFor is in how many sweeps a shard of n requests is judged once.
func sweepsFor(n int) int { return min(1+n/fewWatched, mostSweeps) }

func (w *watcher) judge(x *watch, now int64) {
	idle := time.Duration(w.clock.Load() - x.progress.Load())
	switch {
	case x.cause != nil:
	case !x.told && closedByPeer(x.conn):
		x.finish(errClientGone)
	case x.deadline != 0 && now > x.deadline:
		x.finish(errDeadline)
	case x.limit != 0 && idle > x.limit:
		x.cancelAttempt(errStalled)
	case x.limit != 0 && idle > suspectAfter && !w.alive(x.node):
		x.cancelAttempt(errNodeGone)
	case x.limit != 0 && idle > probeAfter && x.movable.Load() && w.probes.mute(x.node, w.clock.Load()):
		x.cancelAttempt(errMute)
	}
}

func (x *watch) finish(cause error) {
	x.cause = cause
	x.cancelAttempt(cause)
}

func (x *watch) cancelAttempt(cause error) {
	if x.work != nil {
		x.work.End(cause)
		x.work = nil
	}
	x.limit = 0
}

// endAll ends every request under way, and those that come.
func (w *watcher) endAll() {
	w.over.Store(true)
	for i := range w.shards {
		s := &w.shards[i]
		s.Lock()
		for x := s.head.next; x != &s.head; x = x.next {
			if x.cause == nil {
				x.finish(errShutdown)
			}
		}
		s.Unlock()
	}
}

func rawConn(c net.Conn) syscall.Conn {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS
		c = t.NetConn()
	}
	raw, _ := c.(syscall.Conn)
	return raw
}

// closedByPeer looks at the socket without taking anything from it, so that
// requests that a client has sent ahead stay where they are.
func closedByPeer(c syscall.Conn) bool {
	if c == nil {
		return false
	}
	rc, err := c.SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	err = rc.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case err == nil:
			gone = n == 0
		case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		default:
			gone = true
		}
	})
	return gone || err != nil
}
