package quota

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/lotabots/lotabots/cluster/wire"
)

// Name is the actor's PID on its node.
const Name = "quota"

const (
	// lease is how long a grant may be spent; what is left then comes back with
	// the gateway's next request.
	lease = 4 * time.Second
	// sweepAfter is how many limits are kept before idle ones are looked for.
	sweepAfter = 1 << 14
)

// Ask is a request to the actor. It answers on Reply exactly once, without
// waiting: give it room for one.
type Ask struct {
	Request *wire.QuotaRequest
	Reply   chan<- *wire.QuotaGrant
}

// Actor owns limits.
type Actor struct {
	now    func() time.Time
	limits map[string]*limit
	sweep  int // look for idle limits at so many
}

// New returns an actor without limits.
func New(now func() time.Time) *Actor {
	return &Actor{now: now, limits: map[string]*limit{}, sweep: sweepAfter}
}

// Receive is the actor's one entry.
func (a *Actor) Receive(c actor.Context) {
	if m, ok := c.Message().(*Ask); ok {
		m.Reply <- a.grant(m.Request)
	}
}

func (a *Actor) grant(r *wire.QuotaRequest) *wire.QuotaGrant {
	if r.GetPerMinute() == 0 { // no limit
		return &wire.QuotaGrant{Granted: r.GetWant(), TtlMs: lease.Milliseconds(), Remaining: r.GetWant()}
	}
	now := a.now()
	l := a.limits[r.GetLimit()]
	if l == nil {
		a.forgetIdle(now)
		l = &limit{perMinute: r.GetPerMinute()}
		a.limits[r.GetLimit()] = l
	}
	l.rescale(now, r.GetPerMinute())
	granted, wait := l.take(now, r.GetWant(), r.GetGiveBack())
	g := &wire.QuotaGrant{Granted: granted, TtlMs: lease.Milliseconds(), Remaining: l.room(now)}
	if granted == 0 {
		g.RetryAfterMs = (wait + time.Millisecond - 1).Milliseconds()
	}
	return g
}

// forgetIdle drops limits of which all can be spent: they are as new.
func (a *Actor) forgetIdle(now time.Time) {
	if len(a.limits) < a.sweep {
		return
	}
	for id, l := range a.limits {
		if !l.empty.After(now) {
			delete(a.limits, id)
		}
	}
	a.sweep = max(sweepAfter, 2*len(a.limits))
}
