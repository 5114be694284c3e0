package limit

import (
	"math"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
)

// FuzzGrants: whatever the owner of a limit answers, clients are told times and numbers
// that make sense, and no more is spent than a whole limit.
func FuzzGrants(f *testing.F) {
	f.Add(uint64(60), uint64(3), int64(1000), int64(0), uint64(10), int64(0), int64(0), uint8(0), uint64(1))
	f.Add(uint64(1), uint64(0), int64(-1), int64(math.MaxInt64), uint64(math.MaxUint64), int64(-1), int64(1), uint8(1), uint64(7))
	f.Add(uint64(math.MaxUint64), uint64(math.MaxUint64), int64(math.MaxInt64), int64(math.MinInt64), uint64(0), int64(5), int64(math.MaxInt64), uint8(2), uint64(math.MaxUint64))
	f.Fuzz(func(t *testing.T, amount, granted uint64, ttl, retry int64, remaining uint64, period, reset int64, per uint8, n uint64) {
		lim := &Limit{Amount: max(amount, 1), Per: Period(per % 3)}
		if lim.Per == Minute {
			lim.Amount = min(lim.Amount, math.MaxUint32)
		}
		b := bucket{}
		b.reset(lim)
		n = min(max(n, 1), b.most())
		for i := range 3 {
			now := epoch.Add(time.Duration(i) * time.Second)
			q := b.request("l", n, n)
			b.answer(now, q, &wire.QuotaGrant{Granted: uint32(granted), TtlMs: ttl, RetryAfterMs: retry, Remaining: uint32(remaining),
				Budget: &wire.BudgetGrant{Granted: granted, Remaining: remaining, PeriodMs: period + int64(i/2), ResetMs: reset}})
			d := b.decision(now, n, b.take(now, n, 2), 2)
			if d.Remaining > lim.Amount || d.Limit != lim.Amount || d.Reset < 0 || d.Reset > mostRetry || d.RetryAfter < 0 || d.RetryAfter > mostRetry {
				t.Errorf("of %d: %+v", lim.Amount, d)
			}
			if told := min(max(retry, 0), mostRetry.Milliseconds()); lim.Per == Minute && d.RetryAfter > time.Duration(told)*time.Millisecond+time.Minute+time.Second {
				t.Errorf("of %d a minute, to come again in %d ms: %+v", lim.Amount, told, d)
			}
			if want := max(uint64(q.GetWant()), q.GetBudget().GetWant()); want < q.GetNeed() || want > max(q.GetNeed(), lim.Amount/4, 1) {
				t.Errorf("asks for %d and needs %d of %d", want, q.GetNeed(), lim.Amount)
			}
		}
	})
}
