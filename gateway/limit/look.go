package limit

import (
	"context"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
)

// A Standing is how much of a limit is used.
type Standing struct {
	Known     bool   // else its owner did not answer
	Used      uint64 // what other gateways hold leases of counts as used
	Remaining uint64
	Reset     time.Duration // until all of it is there again, if nobody uses any
}

// Look asks the owner how much of the limit is left, and takes nothing.
func (l *Limiter) Look(ctx context.Context, lim *Limit) Standing {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	r := &wire.QuotaRequest{Limit: lim.ID}
	if lim.Per == Minute {
		r.PerMinute = uint32(min(lim.Amount, 1<<32-1))
	} else {
		r.Budget = &wire.BudgetAsk{Amount: lim.Amount, Period: uint32(lim.Per)}
	}
	g, err := l.cfg.Leaser.Lease(ctx, r)
	if err != nil {
		return Standing{}
	}
	s := Standing{Known: true, Remaining: uint64(g.GetRemaining())}
	if lim.Per != Minute {
		s.Remaining, s.Reset = g.GetBudget().GetRemaining(), milliseconds(g.GetBudget().GetResetMs(), mostRetry)
	}
	s.Remaining = min(s.Remaining+l.held(lim, g.GetBudget().GetPeriodMs()), lim.Amount)
	s.Used = lim.Amount - s.Remaining
	if lim.Per == Minute {
		b := bucket{amount: lim.Amount}
		s.Reset = b.leaks(s.Used)
		if wait := milliseconds(g.GetRetryAfterMs(), mostRetry); wait > 0 && g.GetRemaining() == 0 { // until one fits in
			s.Reset = max(s.Reset, wait+time.Minute-b.leaks(1))
		}
	}
	return s
}

// held is what this gateway has of the limit in the period and has not spent, or has yet
// to give back.
func (l *Limiter) held(lim *Limit, period int64) uint64 {
	l.mu.RLock()
	e := l.limit[lim.ID]
	l.mu.RUnlock()
	if e == nil {
		return 0
	}
	e.Lock()
	defer e.Unlock()
	if !e.b.is(lim) || e.b.period != period {
		return 0
	}
	return uint64(max(e.b.avail, 0)) + e.b.owed
}
