package limit

import (
	"math"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A bucket is one limit as this gateway holds it. It does no I/O: its owner
// calls it under a lock and carries out what it asks for. Numbers are in the limit's unit.
type bucket struct {
	amount  uint64
	unit    Unit
	per     Period
	refuses bool // where no owner answers

	avail     int64 // left of the present lease; below 0: used beyond it
	granted   int64 // size of the present lease
	expires   time.Time
	owed      uint64 // unspent of leases that ran out: given back with the next request
	debt      uint64 // used without a lease: told with the next request
	period    int64  // of a budget: what avail, owed and debt belong to
	remaining uint64 // at the owner after the last grant
	resets    time.Time
	denied    time.Time // until then the owner is not asked for need or more
	need      uint64
	retry     time.Time // until then the owner refuses that much
	shared    time.Time // until then the owner counts as unreachable
	tat       time.Time // of the share: theoretical arrival time of the next request

	uses   float64 // units asked for in the present second
	second time.Time
	rate   float64 // units per second, smoothed
}

type verdict uint8

const (
	spend   verdict = iota // admitted
	deny                   // refused
	unknown                // refused, for want of an owner
	ask                    // nothing to spend: ask the owner
)

const (
	smoothing     = 0.3                    // of the recent use, per second
	leaseSeconds  = 2                      // of recent use that a lease should cover
	budgetSeconds = 30                     // that of a budget: its lease outlives the death of an owner
	shareBurst    = 100 * time.Millisecond // of its part that a gateway without an owner may spend at once
	fresh         = 5 * time.Second        // age of a reservation up to which what it has not used may be spent here again
	mostDenied    = time.Minute            // after which the owner is asked again, whatever it said
	budgetDenied  = 5 * time.Second        // the same of a budget
	leastDenied   = 50 * time.Millisecond
	mostRetry     = 32 * 24 * time.Hour
)

func (b *bucket) reset(l *Limit) {
	*b = bucket{amount: l.Amount, unit: l.Unit, per: l.Per, refuses: l.Deny}
}

func (b *bucket) is(l *Limit) bool {
	return b.amount == l.Amount && b.refuses == l.Deny && b.per == l.Per && b.unit == l.Unit
}

// change has the limit be another of the same unit and period: what is left of the lease
// goes back, and what is owed and was used without one is still told.
func (b *bucket) change(l *Limit) {
	if b.unit != l.Unit || b.per != l.Per {
		b.reset(l)
		return
	}
	if b.avail > 0 {
		b.owed += uint64(b.avail)
		b.avail = 0
	}
	b.amount, b.refuses = l.Amount, l.Deny
	b.granted, b.denied, b.retry = 0, time.Time{}, time.Time{}
}

// most is the greatest number that one request is counted with.
func (b *bucket) most() uint64 { return most(b.amount) }

func most(amount uint64) uint64 { return min(amount, math.MaxInt64/4) }

// sharing tells whether the owner counts as unreachable, so that the share is followed.
func (b *bucket) sharing(now time.Time) bool { return now.Before(b.shared) }

// take tries to admit one request that is counted with n, which is at most b.most().
// gateways is how many there are, where the share is followed.
func (b *bucket) take(now time.Time, n uint64, gateways int) verdict {
	b.lapse(now)
	if b.avail >= int64(n) {
		b.avail -= int64(n)
		return spend
	}
	switch {
	case b.sharing(now) && b.refuses:
		return unknown
	case b.sharing(now):
		return b.takeShare(now, n, gateways)
	case now.Before(b.denied) && n >= b.need:
		return deny
	}
	return ask
}

// lapse ends a lease that has run out.
func (b *bucket) lapse(now time.Time) {
	if b.avail > 0 && !now.Before(b.expires) {
		b.owed += uint64(b.avail)
		b.avail = 0
	}
}

// part is how long this gateway's part of the limit takes to come to n. A budget's is
// that of what was left of it, over the rest of its period.
func (b *bucket) part(now time.Time, n uint64, gateways int) time.Duration {
	over, amount := float64(time.Minute), float64(b.amount)
	if b.per != Minute {
		over, amount = float64(max(b.resets.Sub(now), time.Minute)), float64(b.remaining)
		if b.resets.IsZero() {
			over, amount = float64(24*time.Hour)*float64(1+29*(b.per-Day)), float64(b.amount)
		}
	}
	d := float64(n) * over * float64(max(gateways, 1)) / max(amount, 1)
	return time.Duration(min(d, float64(mostRetry)))
}

// takeShare is GCRA over this gateway's part of the limit. What is spent so is told
// to the owner when there is one again.
func (b *bucket) takeShare(now time.Time, n uint64, gateways int) verdict {
	interval := b.part(now, n, gateways)
	b.tat = spec.Later(b.tat, now)
	if b.tat.Add(interval).After(now.Add(max(shareBurst, interval))) {
		return deny
	}
	b.tat = b.tat.Add(interval)
	b.debt += n
	if b.per != Minute { // the others spend as much
		b.remaining -= min(b.remaining, n*uint64(max(gateways, 1)))
	}
	return spend
}

// used counts one request towards the recent use.
func (b *bucket) used(now time.Time, n uint64) {
	if b.second.IsZero() {
		b.second = now
	}
	for gone := now.Sub(b.second); gone >= time.Second; gone -= time.Second {
		b.rate += smoothing * (b.uses - b.rate)
		b.uses = 0
		b.second = b.second.Add(time.Second)
		if gone > time.Minute {
			b.rate, b.second = 0, now
			break
		}
	}
	b.uses += float64(n)
}

// settle corrects what a request was counted with; of is its decision's Period.
func (b *bucket) settle(now time.Time, reserved, used uint64, of int64, gateways int) {
	switch age := now.UnixMilli() - of; {
	case b.per != Minute && of != b.period && of != 0: // of a budget whose period is over; 0: it was not known then
	case used > reserved:
		over := min(used-reserved, most(math.MaxUint64)) // which may be more than all of the limit
		b.avail = max(b.avail-int64(over), -math.MaxInt64/4)
		if b.sharing(now) && !b.refuses {
			b.tat = spec.Later(b.tat, now).Add(b.part(now, over, gateways))
		}
	case b.per == Minute && age >= time.Minute.Milliseconds(): // it has leaked out of the bucket
	case now.Before(b.expires) && (b.per != Minute || age < fresh.Milliseconds()):
		b.avail += int64(reserved - used)
	default: // the owner knows how much of it is in the bucket yet
		b.owed += reserved - used
	}
}

// low tells whether it is time to ask for the next lease before this one is spent.
func (b *bucket) low(now time.Time) bool {
	return b.granted >= 4 && b.avail <= b.granted/4 && !now.Before(b.denied) && !b.sharing(now)
}

// untold tells whether the owner should hear of something though nobody asks for more.
func (b *bucket) untold(now time.Time) bool {
	b.lapse(now)
	return (b.owed > 0 || b.debt > 0 || b.avail < 0) && !b.sharing(now)
}

// request is what to ask the owner for: want for those who wait, or more where recent
// use lets expect it, and need at least, that one of them may go on. Both are 0 where
// nobody waits.
func (b *bucket) request(id string, need, want uint64) *wire.QuotaRequest {
	if b.avail < 0 {
		b.debt += uint64(-b.avail)
		b.avail = 0
	}
	back, debt := b.owed-min(b.owed, b.debt), b.debt-min(b.owed, b.debt)
	b.owed, b.debt = 0, 0
	if need > 0 {
		seconds := float64(leaseSeconds)
		if b.per != Minute {
			seconds = budgetSeconds
		}
		need = max(1, min(need, b.most())-min(uint64(b.avail), need))
		want = max(need, min(max(want, uint64(max(b.rate, b.uses)*seconds)), max(1, b.amount/4)))
	}
	r := &wire.QuotaRequest{Limit: id, Debt: debt, Need: need}
	if b.per == Minute {
		r.PerMinute, r.Want, r.GiveBack = uint32(min(b.amount, math.MaxUint32)), uint32(min(want, math.MaxUint32)), uint32(min(back, math.MaxUint32))
	} else {
		r.Budget = &wire.BudgetAsk{Amount: b.amount, Period: uint32(b.per), Want: want, GiveBack: back, PeriodMs: b.period}
	}
	return r
}

// answer takes over what the owner said to a request.
func (b *bucket) answer(now time.Time, r *wire.QuotaRequest, g *wire.QuotaGrant) {
	b.shared = time.Time{}
	granted, remaining, wait := uint64(g.GetGranted()), uint64(g.GetRemaining()), milliseconds(g.GetRetryAfterMs(), mostRetry)
	ttl := milliseconds(g.GetTtlMs(), time.Hour)
	if r.GetDebt() > 0 { // what the share was held up for is told
		b.tat = time.Time{}
	}
	if b.per != Minute {
		granted, remaining = g.GetBudget().GetGranted(), g.GetBudget().GetRemaining()
		reset := milliseconds(g.GetBudget().GetResetMs(), mostRetry)
		b.resets, ttl = now.Add(reset), min(ttl, reset)
		if p := g.GetBudget().GetPeriodMs(); p != b.period {
			b.period, b.avail, b.owed, b.debt = p, 0, 0, 0
		}
	}
	granted = min(granted, b.most())
	b.remaining = remaining
	if asked := r.GetWant() > 0 || r.GetBudget().GetWant() > 0; !asked {
		return
	}
	if granted == 0 {
		b.need = max(r.GetNeed(), 1)
		b.retry = now.Add(max(wait, leastDenied))
		b.denied = now.Add(min(max(wait, leastDenied), mostDenied))
		if b.per != Minute { // other gateways give back what they do not use
			b.denied = now.Add(min(max(wait, leastDenied), budgetDenied))
		}
		return
	}
	b.lapse(now)
	b.avail += int64(granted)
	b.granted = b.avail
	b.expires = now.Add(ttl)
	b.denied, b.retry = time.Time{}, time.Time{}
}

// milliseconds is a time that another node tells, which may be anything.
func milliseconds(n int64, most time.Duration) time.Duration {
	return time.Duration(min(max(n, 0), most.Milliseconds())) * time.Millisecond
}

// failed notes that the owner did not answer: what it was to be told is kept.
func (b *bucket) failed(now time.Time, r *wire.QuotaRequest) {
	if r.GetBudget().GetPeriodMs() == b.period {
		b.owed += uint64(r.GetGiveBack()) + r.GetBudget().GetGiveBack()
		b.debt += r.GetDebt()
	}
	b.shared = now.Add(shareFor)
}

func (b *bucket) decision(now time.Time, n uint64, v verdict, gateways int) Decision {
	d := Decision{OK: v == spend, Unknown: v == unknown, Limit: b.amount, Shared: b.sharing(now) && v != unknown, Period: now.UnixMilli()}
	if b.per != Minute {
		d.Reset, d.Period = max(b.resets.Sub(now), 0), b.period
	}
	if !b.sharing(now) {
		here := uint64(max(b.avail, 0))
		d.Remaining, d.RetryAfter = min(b.remaining+here+b.owed, b.amount), max(b.retry.Sub(now), 0)
		if b.per == Minute {
			d.Reset = b.leaks(b.amount - d.Remaining)
			if d.RetryAfter > 0 { // the bucket is full, or fuller than that
				d.Reset = min(max(d.Reset, d.RetryAfter+time.Minute-b.leaks(min(b.need+here, b.amount))), mostRetry)
				d.RetryAfter = min(d.RetryAfter+b.leaks(n-min(n, b.need+here)), mostRetry) // the owner was asked for less
			}
		}
		return d
	}
	if v == unknown {
		d.RetryAfter = max(b.shared.Sub(now), leastDenied)
		return d
	}
	if b.tat.After(now) && b.per == Minute {
		d.Reset = min(b.tat.Sub(now), mostRetry)
	}
	d.RetryAfter = max(b.tat.Add(b.part(now, n, gateways)).Sub(now)-shareBurst, leastDenied)
	return d
}

// leaks is how long n units of a limit per minute take to be there again.
func (b *bucket) leaks(n uint64) time.Duration {
	return time.Duration(float64(n) / float64(b.amount) * float64(time.Minute))
}
