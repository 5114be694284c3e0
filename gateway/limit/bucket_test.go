package limit

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/wire"
)

var epoch = time.Unix(1_000_000, 0)

func bucketOf(l Limit) *bucket {
	b := &bucket{}
	b.reset(&l)
	return b
}

// TestShareBounds holds the share to its bound: in any window never more than
// the rate's part of it and one burst.
func TestShareBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amount := rapid.Uint64Range(1, 6000).Draw(t, "per minute")
		gateways := rapid.IntRange(1, 5).Draw(t, "gateways")
		b := bucketOf(Limit{Amount: amount})
		var at []time.Time
		var took []float64
		now := epoch
		for range rapid.IntRange(1, 300).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "pause")) * time.Millisecond)
			n := rapid.Uint64Range(1, max(1, amount/10)).Draw(t, "n")
			if b.takeShare(now, n, gateways) == spend {
				at, took = append(at, now), append(took, float64(n))
			}
		}
		part := float64(amount) / 60 / float64(gateways) // per second
		for i := range at {
			sum := 0.
			for j := i; j < len(at); j++ {
				sum += took[j]
				window := at[j].Sub(at[i]).Seconds()
				if sum > window*part+max(part*shareBurst.Seconds(), took[j])+1e-3 {
					t.Fatalf("%v admitted in %v s at %v a second", sum, window, part)
				}
			}
		}
		if len(at) == 0 {
			t.Fatal("not even the first was admitted")
		}
	})
}

// TestShareAdmitsItsPart: who asks all the time gets the share, not less, and the owner
// is told of all of it.
func TestShareAdmitsItsPart(t *testing.T) {
	for _, c := range []struct {
		amount   uint64
		gateways int
	}{{60, 1}, {600, 3}, {1, 1}, {7, 2}} {
		b := bucketOf(Limit{Amount: c.amount})
		n := uint64(0)
		for now := epoch; now.Before(epoch.Add(time.Hour)); now = now.Add(50 * time.Millisecond) {
			if b.takeShare(now, 1, c.gateways) == spend {
				n++
			}
		}
		want := 60 * float64(c.amount) / float64(c.gateways)
		if got := float64(n); got < want-1 || got > want+max(want/360, 1)+1 {
			t.Errorf("%d a minute over %d gateways: %v in an hour, want about %v", c.amount, c.gateways, got, want)
		}
		if r := b.request("x", 0, 0); r.GetDebt() != n {
			t.Errorf("tells of %d, and %d were spent", r.GetDebt(), n)
		}
	}
}

func TestLeaseIsSpentAndRunsOut(t *testing.T) {
	b := bucketOf(Limit{Amount: 600})
	if v := b.take(epoch, 1, 1); v != ask {
		t.Fatalf("without a lease: %d", v)
	}
	b.answer(epoch, b.request("x", 1, 1), &wire.QuotaGrant{Granted: 3, TtlMs: 1000, Remaining: 10})
	if b.take(epoch, 1, 1) != spend || b.take(epoch.Add(999*time.Millisecond), 1, 1) != spend {
		t.Error("a lease in force is not spent")
	}
	d := b.decision(epoch, 1, spend, 1)
	if !d.OK || d.Remaining != 11 || d.Limit != 600 || d.Reset.Round(time.Millisecond) != 58900*time.Millisecond {
		t.Errorf("decision %+v", d)
	}
	if v := b.take(epoch.Add(time.Second), 1, 1); v != ask {
		t.Errorf("a lease that has run out: %d", v)
	}
	r := b.request("x", 1, 1)
	if r.GetGiveBack() != 1 || r.GetLimit() != "x" || r.GetPerMinute() != 600 || r.GetNeed() != 1 {
		t.Errorf("asks for %v", r)
	}
	if again := b.request("x", 1, 1); again.GetGiveBack() != 0 {
		t.Error("gives back twice")
	}
	b.failed(epoch.Add(time.Second), r)
	if r := b.request("x", 1, 1); r.GetGiveBack() != 1 {
		t.Error("what did not arrive is not given back")
	}
}

func TestRefusalIsBounded(t *testing.T) {
	for told, want := range map[int64]time.Duration{0: leastDenied, 700: 700 * time.Millisecond, 90_000: time.Minute, 1 << 40: time.Minute} {
		b := bucketOf(Limit{Amount: 60})
		b.answer(epoch, b.request("x", 5, 5), &wire.QuotaGrant{RetryAfterMs: told})
		if b.take(epoch.Add(want-1), 5, 1) != deny || b.take(epoch.Add(want), 5, 1) != ask {
			t.Errorf("told %d ms: not refused for %v", told, want)
		}
		if b.take(epoch, 4, 1) != ask {
			t.Error("less than what was refused is refused unasked")
		}
		honest := min(max(time.Duration(min(told, 1<<40))*time.Millisecond, leastDenied), mostRetry)
		if d := b.decision(epoch, 5, deny, 1); d.OK || d.RetryAfter != honest {
			t.Errorf("told %d ms: %+v", told, d)
		}
	}
}

// TestRetryAfterIsOfTheRequest: who asks for more than what the owner was asked for waits for longer, and
// the limit is whole again when what was used beyond it has leaked out too.
func TestRetryAfterIsOfTheRequest(t *testing.T) {
	b := bucketOf(Limit{Amount: 1000, Unit: Tokens})
	b.answer(epoch, b.request("x", 10, 10), &wire.QuotaGrant{RetryAfterMs: 600})
	for n, want := range map[uint64]time.Duration{10: 600 * time.Millisecond, 510: 30600 * time.Millisecond, 1000: time.Minute} {
		if d := b.decision(epoch, n, deny, 1); d.RetryAfter != want || d.Reset != time.Minute {
			t.Errorf("for %d: %+v, want %v", n, d, want)
		}
	}
	b.answer(epoch, b.request("x", 10, 10), &wire.QuotaGrant{RetryAfterMs: 600_600})
	if d := b.decision(epoch, 10, deny, 1); d.RetryAfter != 600600*time.Millisecond || d.Reset != 11*time.Minute {
		t.Errorf("with ten minutes' worth used beyond it: %+v", d)
	}
}

// TestAsksForItsRecentUse: about two seconds of it, never more than a quarter
// of the limit, never nothing.
func TestAsksForItsRecentUse(t *testing.T) {
	b := bucketOf(Limit{Amount: 6000})
	now := epoch
	for range 20 * 100 {
		b.used(now, 1)
		now = now.Add(10 * time.Millisecond)
	}
	if r := b.request("x", 1, 1).GetWant(); r < 150 || r > 220 {
		t.Errorf("at 100 a second asks for %d", r)
	}
	b.amount = 60
	if r := b.request("x", 1, 1).GetWant(); r != 15 {
		t.Errorf("asks for %d of 60", r)
	}
	if r := b.request("x", 40, 90); r.GetWant() != 40 || r.GetNeed() != 40 {
		t.Errorf("for a request of 40 asks for %v", r)
	}
	b = bucketOf(Limit{Amount: 2})
	if r := b.request("x", 1, 9).GetWant(); r != 1 {
		t.Errorf("asks for %d of 2", r)
	}
	b.used(epoch, 1)
	b.used(epoch.Add(240*time.Hour), 1) // must not go through every second of it
	if b.rate != 0 {
		t.Errorf("a rate of %v after ten days", b.rate)
	}
}

// TestSettlesWhatWasUsed: less is there again, more is owed.
func TestSettlesWhatWasUsed(t *testing.T) {
	b := bucketOf(Limit{Amount: 6000, Unit: Tokens})
	b.answer(epoch, b.request("x", 500, 500), &wire.QuotaGrant{Granted: 500, TtlMs: 1000})
	if b.take(epoch, 500, 1) != spend {
		t.Fatal("not admitted")
	}
	b.settle(epoch, 500, 100, epoch.UnixMilli(), 1)
	if b.avail != 400 {
		t.Errorf("%d left after 400 came back", b.avail)
	}
	b.settle(epoch, 100, 700, epoch.UnixMilli(), 1)
	if b.take(epoch, 1, 1) != ask {
		t.Error("admitted with 200 owed")
	}
	if r := b.request("x", 0, 0); r.GetDebt() != 200 || r.GetWant() != 0 {
		t.Errorf("tells %v", r)
	}
	b.settle(epoch, 250, 32_000, epoch.UnixMilli(), 1)
	if r := b.request("x", 0, 0); r.GetDebt() != 31_750 {
		t.Errorf("of an answer longer than the limit tells %v", r)
	}
	later := epoch.Add(time.Hour)
	b.settle(later, 90, 0, later.UnixMilli(), 1) // its lease has run out
	if r := b.request("x", 0, 0); r.GetGiveBack() != 90 || r.GetDebt() != 0 {
		t.Errorf("tells %v", r)
	}
}

// TestReservationsDoNotSaveUp: of what has been reserved for a while the owner knows whether it has leaked
// out of the bucket, and what was reserved a minute ago has.
func TestReservationsDoNotSaveUp(t *testing.T) {
	b := bucketOf(Limit{Amount: 1000, Unit: Tokens})
	var of []int64
	now := epoch
	for range 10 { // a minute's worth each minute, for requests that are all cancelled then
		b.answer(now, b.request("x", 1000, 1000), &wire.QuotaGrant{Granted: 1000, TtlMs: 4000})
		if b.take(now, 1000, 1) != spend {
			t.Fatal("not admitted")
		}
		of = append(of, b.decision(now, 1000, spend, 1).Period)
		now = now.Add(time.Minute)
	}
	now = now.Add(-30 * time.Second)
	b.answer(now, b.request("x", 1, 1), &wire.QuotaGrant{Granted: 1, TtlMs: 4000})
	for _, at := range of {
		b.settle(now, 1000, 0, at, 1)
	}
	if b.take(now, 2, 1) != ask {
		t.Error("what was reserved long ago is spent here again")
	}
	if r := b.request("x", 0, 0); r.GetGiveBack() != 1000 {
		t.Errorf("%v is told, not the last one alone", r)
	}
	b.settle(now, 1000, 400, now.UnixMilli(), 1)
	if b.take(now, 601, 1) != spend {
		t.Error("what was reserved just now is not there again")
	}
}

// TestShareCountsLongAnswers: without an owner, too, who has used more than it was counted with waits for that.
func TestShareCountsLongAnswers(t *testing.T) {
	b := bucketOf(Limit{Amount: 1000, Unit: Tokens})
	used := uint64(0)
	for now := epoch; now.Before(epoch.Add(10 * time.Hour)); now = now.Add(time.Second) {
		if !now.Before(b.shared) {
			b.failed(now, b.request("x", 0, 0))
		}
		if b.take(now, 250, 2) == spend {
			b.settle(now, 250, 8000, b.decision(now, 250, spend, 2).Period, 2)
			used += 8000
		}
	}
	if used < 280_000 || used > 320_000 {
		t.Errorf("%d used in ten hours of the share of 30,000 each", used)
	}
	if b.answer(epoch, b.request("x", 0, 0), &wire.QuotaGrant{}); !b.tat.IsZero() {
		t.Error("what the owner has been told holds up the share as well")
	}
}

// TestChangedLimitStillTells what is owed, and what was used beyond the lease.
func TestChangedLimitStillTells(t *testing.T) {
	for used, want := range map[uint64][2]uint64{100: {400, 0}, 700: {0, 200}} { // given back, debt
		b := bucketOf(Limit{Amount: 6000, Unit: Tokens})
		b.answer(epoch, b.request("x", 500, 500), &wire.QuotaGrant{Granted: 500, TtlMs: 1000})
		b.take(epoch, 500, 1)
		b.settle(epoch, 500, used, epoch.UnixMilli(), 1)
		b.change(&Limit{Amount: 100, Unit: Tokens, Deny: true})
		if b.take(epoch, 1, 1) != ask || b.amount != 100 || !b.refuses {
			t.Error("what was leased under the old limit is spent under the new one")
		}
		if r := b.request("x", 0, 0); r.GetGiveBack() != uint32(want[0]) || r.GetDebt() != want[1] {
			t.Errorf("of 500 leased and %d used it tells %v", used, r)
		}
	}
}

// TestBudgetWithoutOwner: refuses where its limit says so, after what it has.
func TestBudgetWithoutOwner(t *testing.T) {
	lim := Limit{Amount: 1000, Unit: Tokens, Per: Day, Deny: true}
	b := bucketOf(lim)
	r := b.request("x", 10, 10)
	b.answer(epoch, r, &wire.QuotaGrant{TtlMs: 60_000, Budget: &wire.BudgetGrant{Granted: 20, Remaining: 100, PeriodMs: 7, ResetMs: 3_600_000}})
	b.failed(epoch, b.request("x", 1, 1))
	if b.take(epoch, 15, 2) != spend || b.take(epoch, 15, 2) != unknown {
		t.Fatal("the last lease is not spent, or more than it")
	}
	if d := b.decision(epoch, 15, unknown, 2); d.OK || !d.Unknown || d.RetryAfter <= 0 || d.Reset != time.Hour || d.Period != 7 {
		t.Errorf("%+v", d)
	}
	b.refuses = false
	got := uint64(0)
	for now := epoch; now.Before(epoch.Add(time.Hour)); now = now.Add(time.Second) {
		if b.takeShare(now, 1, 2) == spend {
			got++
		}
	}
	if got < 45 || got > 100 { // half of the 100 that were left; less of the period is left with each hour
		t.Errorf("%d of the share of 50", got)
	}
}

// TestPeriodEnds: neither leases nor refunds of a budget's period go over to the next.
func TestPeriodEnds(t *testing.T) {
	b := bucketOf(Limit{Amount: 1000, Unit: Tokens, Per: Month})
	grant := func(now time.Time, period int64, reset time.Duration) {
		b.answer(now, b.request("x", 10, 10), &wire.QuotaGrant{TtlMs: 60_000,
			Budget: &wire.BudgetGrant{Granted: 100, Remaining: 900, PeriodMs: period, ResetMs: reset.Milliseconds()}})
	}
	grant(epoch, 1, 10*time.Second)
	if b.take(epoch.Add(9*time.Second), 10, 1) != spend || b.take(epoch.Add(10*time.Second), 10, 1) != ask {
		t.Fatal("the lease does not end with its period")
	}
	grant(epoch.Add(10*time.Second), 2, time.Hour)
	b.settle(epoch.Add(11*time.Second), 10, 0, 1, 1)
	if b.avail != 100 || b.owed != 0 {
		t.Errorf("%d left and %d owed of a lease of 100", b.avail, b.owed)
	}
}
