package relay

import (
	"sync"
	"time"
)

// A budget bounds what retries and hedges add to a deployment's load: a share of the
// requests of the last seconds, and a few more, so that one seldom asked for has some.
// Without it a deployment whose engines are overloaded gets several times the load.
const (
	budgetShare = 0.1
	budgetFloor = 20 // in the window
	budgetSlots = 10 // of a second each: the window
)

// A budget is one deployment's. It is told the time, in seconds since any moment.
type budget struct {
	mu struct {
		sync.Mutex
		at       int64 // second of the newest slot
		requests [budgetSlots]int
		extra    [budgetSlots]int
	}
}

// request counts a request.
func (b *budget) request(second int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turnLocked(second)
	b.mu.requests[second%budgetSlots]++
}

// take spends one attempt that is made on top; false: there is none to be made.
func (b *budget) take(second int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turnLocked(second)
	requests, extra := 0, 0
	for i := range budgetSlots {
		requests += b.mu.requests[i]
		extra += b.mu.extra[i]
	}
	if float64(extra+1) > budgetFloor+budgetShare*float64(requests) {
		return false
	}
	b.mu.extra[second%budgetSlots]++
	return true
}

// turnLocked empties the slots of the seconds that have begun since.
func (b *budget) turnLocked(second int64) {
	for s := max(b.mu.at+1, second-budgetSlots+1); s <= second; s++ {
		b.mu.requests[s%budgetSlots], b.mu.extra[s%budgetSlots] = 0, 0
	}
	b.mu.at = max(b.mu.at, second)
}

// idle tells whether nothing was counted within the window.
func (b *budget) idle(second int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return second-b.mu.at > budgetSlots
}

// budgets are those of all deployments.
type budgets struct {
	began time.Time
	mu    struct {
		sync.RWMutex
		of map[string]*budget
	}
}

// manyBudgets is how many are kept before those that are idle are let go.
const manyBudgets = 1024

func (all *budgets) second(now time.Time) int64 { return int64(now.Sub(all.began) / time.Second) }

// of finds or makes a deployment's.
func (all *budgets) of(deployment string) *budget {
	all.mu.RLock()
	b := all.mu.of[deployment]
	all.mu.RUnlock()
	if b != nil {
		return b
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	if b = all.mu.of[deployment]; b != nil {
		return b
	}
	if len(all.mu.of) >= manyBudgets {
		now := all.second(time.Now())
		for name, old := range all.mu.of {
			if old.idle(now) {
				delete(all.mu.of, name)
			}
		}
	}
	b = &budget{}
	all.mu.of[deployment] = b
	return b
}

// request counts a request for the deployment.
func (all *budgets) request(deployment string, now time.Time) {
	all.of(deployment).request(all.second(now))
}

// take spends one attempt of the deployment's that is made on top.
func (all *budgets) take(deployment string) bool {
	return all.of(deployment).take(all.second(time.Now()))
}

func newBudgets() *budgets {
	all := &budgets{began: time.Now()}
	all.mu.of = map[string]*budget{}
	return all
}
