package gateway

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/auth"
)

// ages knows how old the state may be to let each tenant's credentials in, and what
// it was before: a node that was cut off before a change goes by the old one. A
// gateway knows of the changes since it was started.
type ages struct {
	mu sync.Mutex
	of map[string]*age
}

type age struct {
	now   time.Duration
	until time.Time // when the last that goes by an older one lets nobody in any more
}

// An asOf is when the state was known to be the newest, as far as somebody has asked.
type asOf struct{ at atomic.Pointer[time.Time] }

// older tells whether the state is older than most. Its age is an upper bound that grows
// with the time, so it is asked for where the last one does not tell: not with each request.
func (a *asOf) older(now time.Time, most time.Duration, age func() time.Duration) bool {
	if at := a.at.Load(); at != nil && now.Sub(*at) <= most {
		return false
	}
	is := age()
	if is > most {
		return true
	}
	at := now.Add(-is)
	a.at.Store(&at)
	return false
}

// put takes over what a tenant has from now on. nil: it is removed.
func (a *ages) put(id string, t *wire.Tenant) {
	a.mu.Lock()
	defer a.mu.Unlock()
	next := auth.MaxAgeOf(t)
	if a.of == nil {
		a.of = map[string]*age{}
	}
	have := a.of[id]
	if have == nil {
		a.of[id] = &age{now: next}
		return
	}
	if have.now != next {
		if end := time.Now().Add(have.now); end.After(have.until) {
			have.until = end
		}
		have.now = next
	}
}

// closes is when those who were cut off by began, at the latest, let none of the
// tenant's in any more; of no tenant, none of anybody's.
func (a *ages) closes(tenant string, began time.Time) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	end := began.Add(auth.DefaultMaxAge)
	if tenant == "" {
		for _, of := range a.of {
			end = of.after(began, end)
		}
		return end
	}
	if of := a.of[tenant]; of != nil {
		return of.after(began, time.Time{})
	}
	return end
}

func (a *age) after(began, end time.Time) time.Time {
	for _, t := range []time.Time{began.Add(a.now), a.until} {
		if t.After(end) {
			end = t
		}
	}
	return end
}
