package gateway

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A room bounds the memory that large bodies and answers take together, and what of it
// one client has: half, so that there is some for the others. Small ones are bounded by
// the number of connections.
type room struct {
	most, each int64
	mu         struct {
		sync.Mutex
		held    int64
		by      map[string]int64
		taken   uint64
		refused uint64
	}
}

func (m *room) set(most, each int64) {
	m.most, m.each, m.mu.by = most, each, map[string]int64{}
}

// take has n more bytes held for who; false: there is no room for them.
func (m *room) take(who string, n int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.taken++
	if m.mu.held+int64(n) > m.most || m.mu.by[who]+int64(n) > m.each {
		m.mu.refused++
		return false
	}
	m.addLocked(who, int64(n))
	return true
}

// add counts n bytes more, room or not: of what is there already; less than 0: of what is
// not any more.
func (m *room) add(who string, n int) {
	if n == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.addLocked(who, int64(n))
}

func (m *room) addLocked(who string, n int64) {
	m.mu.held += n
	if m.mu.by[who] += n; m.mu.by[who] == 0 {
		delete(m.mu.by, who)
	}
}

// A portion is what one client takes of it for one request. It is a relay.Room.
type portion struct {
	room *room
	who  string
}

// Take implements relay.Room.
func (p *portion) Take(n int) bool { return p.room.take(p.who, n) }

// Back implements relay.Room.
func (p *portion) Back(n int) { p.room.add(p.who, -n) }

// hold has n more bytes of the request's body held; false: there is no room for them.
func (r *request) hold(n int) bool {
	if r.held == 0 {
		r.holder = r.holding()
	}
	ok := r.g.bodies.take(r.holder, n)
	if ok {
		r.held += n
	}
	return ok
}

// holding is who memory is counted for.
func (r *request) holding() string {
	if r.who == nil {
		return ""
	}
	return r.credential()
}

// give ends what the request holds of the room.
func (r *request) give() {
	r.g.bodies.add(r.holder, -r.held)
	r.held = 0
}

// noRoom is what a request is told for whose body there is no room. Its client may
// come again soon: bodies are held no longer than requests are under way.
func (r *request) noRoom() error {
	hangUp(r.ctx)
	return &limited{after: time.Second, err: &spec.Error{Code: spec.CodeBusy,
		Message: "This gateway holds as many large request bodies, of all clients or of this one, as it has memory for.", Hint: "Retry after Retry-After, send smaller batches, or have api.body-memory raised."}}
}

// heavyFrom is the size of body whose reading counts as heavy.
const heavyFrom = 1 << 20

// heavy keeps those who read large bodies from taking all of the processors, and the
// memory that reading takes from adding up.
type heavy struct {
	in                     chan struct{}
	entered, waits, waited atomic.Uint64
}

func newHeavy() *heavy { return &heavy{in: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))} }

// enter waits until a body of that size may be read; what it returns is to be called after.
func (h *heavy) enter(size int) (leave func()) {
	if size < heavyFrom {
		return func() {}
	}
	h.entered.Add(1)
	select {
	case h.in <- struct{}{}:
	default:
		began := time.Now()
		h.in <- struct{}{}
		h.waits.Add(1)
		h.waited.Add(uint64(time.Since(began)))
	}
	return func() { <-h.in }
}
