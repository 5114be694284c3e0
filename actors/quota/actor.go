package quota

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// Name is the actor's PID on its node.
const Name = "quota"

const (
	// lease is how long a grant of a rate may be spent; what is left then comes back
	// with the gateway's next request.
	lease = 4 * time.Second
	// budgetLease is that of a budget: longer than it takes to find that an owner has
	// died, for gateways refuse what they have no lease for.
	budgetLease = time.Minute
	// sweepAfter is how many limits are kept before idle ones are looked for.
	sweepAfter = 1 << 14
)

// Ask is a request to the actor. It answers on Reply exactly once, without
// waiting: give it room for one.
type Ask struct {
	Request *wire.QuotaRequest
	Reply   chan<- *wire.QuotaGrant
}

// Collect asks for what has changed since it was last asked for, at most so many:
// the states that a limit's next owner needs, or with Budgets what is spent of
// budgets, to be noted in the replicated state. All has every limit count as changed.
// The answer on Reply is as of Ask.
type Collect struct {
	Most    int
	All     bool
	Budgets bool
	Reply   chan<- []*wire.QuotaState
}

// Config of an Actor.
type Config struct {
	Now func() time.Time
	// Spent is what the replicated state has of a budget. nil: nothing.
	Spent func(limit string) (*wire.BudgetSpent, bool)
	// Lost tells for how long the node owns a limit that others knew who have died: one of
	// which nothing of then is known here counts as spent when they did. nil: there is no such limit.
	Lost func(limit string) (ago time.Duration, ok bool)
	// Changed is called where there is something to collect. It must not block. nil: nobody collects.
	Changed func()
}

// Actor owns limits. It keeps those of which another is the owner, too, as far as it
// was told: it may be the next.
type Actor struct {
	cfg     Config
	rates   map[string]*rate
	budgets map[string]*budget
	changed map[string]struct{} // to be told to the next owners
	unnoted map[string]struct{} // budgets that the replicated state knows less of
	sweep   int                 // look for idle rates at so many
	kept    int                 // look for budgets of which the period is over at so many
	effects map[asking]effect   // of the last requests of gateways
	noted   int                 // look for old effects at so many
}

// New returns an actor without limits.
func New(c Config) *Actor {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Actor{cfg: c, rates: map[string]*rate{}, budgets: map[string]*budget{},
		changed: map[string]struct{}{}, unnoted: map[string]struct{}{}, sweep: sweepAfter, kept: sweepAfter,
		effects: map[asking]effect{}, noted: sweepAfter}
}

// Receive is the actor's one entry.
func (a *Actor) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *Ask:
		m.Reply <- a.answer(m.Request)
	case *Collect:
		m.Reply <- a.collect(m)
	}
}

func (a *Actor) answer(r *wire.QuotaRequest) *wire.QuotaGrant {
	now := a.cfg.Now()
	for _, s := range r.GetStates() {
		a.learn(now, s)
	}
	switch {
	case r.GetLimit() == "":
		return &wire.QuotaGrant{}
	case r.GetBudget() != nil:
		return a.grantBudget(now, r)
	case r.GetPerMinute() == 0: // no limit
		return &wire.QuotaGrant{Granted: r.GetWant(), TtlMs: lease.Milliseconds(), Remaining: r.GetWant()}
	}
	return a.grantRate(now, r)
}

func (a *Actor) grantRate(now time.Time, r *wire.QuotaRequest) *wire.QuotaGrant {
	l := a.rates[r.GetLimit()]
	if l == nil {
		a.forgetIdle(now)
		l = &rate{perMinute: r.GetPerMinute()}
		a.rates[r.GetLimit()] = l
	}
	l.rescale(now, r.GetPerMinute())
	if a.cfg.Lost != nil {
		if ago, ok := a.cfg.Lost(r.GetLimit()); ok {
			l.lose(now, ago)
		}
	}
	if a.begin(r, func(e effect) { l.undo(now, e) }) {
		return &wire.QuotaGrant{}
	}
	was := spec.Later(l.empty, now)
	granted, wait := l.take(now, order{want: uint64(r.GetWant()), need: r.GetNeed(), back: uint64(r.GetGiveBack()), debt: r.GetDebt()})
	a.end(now, r, effect{shift: l.empty.Sub(was)})
	if granted > 0 || r.GetDebt() > 0 {
		a.touch(r.GetLimit())
	}
	g := &wire.QuotaGrant{Granted: uint32(granted), TtlMs: lease.Milliseconds(), Remaining: uint32(l.room(now))}
	if granted == 0 {
		g.RetryAfterMs = (wait + time.Millisecond - 1).Milliseconds()
	}
	return g
}

func (a *Actor) grantBudget(now time.Time, r *wire.QuotaRequest) *wire.QuotaGrant {
	ask := r.GetBudget()
	begin, end := Period(ask.GetPeriod()).Bounds(now)
	b := a.budget(r.GetLimit())
	a.read(r.GetLimit(), b) // which another may have owned since
	b.roll(begin.UnixMilli())
	was := *b
	if a.begin(r, b.undo) {
		return &wire.QuotaGrant{}
	}
	before := *b
	granted := b.take(ask.GetAmount(), order{want: ask.GetWant(), need: r.GetNeed(), back: ask.GetGiveBack(), debt: r.GetDebt()}, ask.GetPeriodMs())
	a.end(now, r, effect{period: b.begin, spent: b.granted - before.granted, renewed: b.returned - before.returned})
	if *b != was {
		a.touch(r.GetLimit())
		a.unnoted[r.GetLimit()] = struct{}{}
	}
	left := end.Sub(now)
	g := &wire.QuotaGrant{TtlMs: min(budgetLease, left).Milliseconds(), Budget: &wire.BudgetGrant{
		Granted: granted, Remaining: b.room(ask.GetAmount()), PeriodMs: b.begin, ResetMs: left.Milliseconds()}}
	if granted == 0 {
		g.RetryAfterMs = left.Milliseconds()
	}
	return g
}

// read takes over what the replicated state has of a budget.
func (a *Actor) read(id string, b *budget) {
	if a.cfg.Spent == nil {
		return
	}
	if s, ok := a.cfg.Spent(id); ok {
		b.learn(s.GetPeriodMs(), s.GetGranted(), s.GetReturned())
	}
}

// budget is what is known of one here.
func (a *Actor) budget(id string) *budget {
	if b := a.budgets[id]; b != nil {
		return b
	}
	if len(a.budgets) >= a.kept {
		for id, b := range a.budgets {
			if time.UnixMilli(b.begin).AddDate(0, 1, 0).Before(a.cfg.Now()) {
				delete(a.budgets, id)
			}
		}
		a.kept = max(sweepAfter, 2*len(a.budgets))
	}
	b := &budget{}
	a.budgets[id] = b
	return b
}

func (a *Actor) touch(id string) {
	if a.cfg.Changed == nil {
		return
	}
	a.changed[id] = struct{}{}
	a.cfg.Changed()
}

// forgetIdle drops rates of which all can be spent: they are as new.
func (a *Actor) forgetIdle(now time.Time) {
	if len(a.rates) < a.sweep {
		return
	}
	for id, l := range a.rates {
		if !l.empty.After(now) {
			delete(a.rates, id)
		}
	}
	a.sweep = max(sweepAfter, 2*len(a.rates))
}
