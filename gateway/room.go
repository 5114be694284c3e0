package gateway

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A room bounds the memory that large bodies take together. Small ones are bounded by
// the number of connections.
type room struct {
	most int64
	held atomic.Int64
}

// take has n more bytes held; false: there is no room for them.
func (m *room) take(n int) bool {
	if m.held.Add(int64(n)) > m.most {
		m.held.Add(-int64(n))
		return false
	}
	return true
}

func (m *room) back(n int) { m.held.Add(-int64(n)) }

// give ends what the request holds of the room.
func (r *request) give() {
	r.g.bodies.back(r.held)
	r.held = 0
}

// noRoom is what a request is told for whose body there is no room. Its client may
// come again soon: bodies are held no longer than requests are under way.
func (r *request) noRoom() error {
	hangUp(r.ctx)
	return &limited{after: time.Second, err: &spec.Error{Code: spec.CodeBusy,
		Message: "This gateway holds as many large request bodies as it has memory for.", Hint: "Retry after Retry-After, send smaller batches, or have api.body-memory raised."}}
}

// heavyFrom is the size of body whose reading counts as heavy.
const heavyFrom = 1 << 20

// heavy keeps those who read large bodies from taking all of the processors, and the
// memory that reading takes from adding up.
type heavy chan struct{}

func newHeavy() heavy { return make(heavy, max(1, runtime.GOMAXPROCS(0)/2)) }

// enter waits until a body of that size may be read; what it returns is to be called after.
func (h heavy) enter(size int) (leave func()) {
	if size < heavyFrom {
		return func() {}
	}
	h <- struct{}{}
	return func() { <-h }
}
