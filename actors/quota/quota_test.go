package quota

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/wire"
)

type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newClock() *clock { return &clock{time.Unix(1_700_000_000, 0)} }

func TestGrantsUntilTheLimitIsSpent(t *testing.T) {
	c := newClock()
	a := New(Config{Now: c.now})
	ask := func(want, back uint32) *wire.QuotaGrant {
		return a.answer(&wire.QuotaRequest{Limit: "key/k/rpm", PerMinute: 60, Want: want, GiveBack: back})
	}
	if g := ask(40, 0); g.Granted != 40 || g.Remaining != 20 || g.TtlMs <= 0 {
		t.Fatalf("first grant %v", g)
	}
	if g := ask(40, 0); g.Granted != 20 || g.Remaining != 0 {
		t.Fatalf("second grant %v, want the rest", g)
	}
	g := ask(1, 0)
	if g.Granted != 0 || g.RetryAfterMs < 900 || g.RetryAfterMs > 1000 {
		t.Fatalf("a spent limit gave %v, want nothing for a second", g)
	}
	c.at = c.at.Add(time.Duration(g.RetryAfterMs) * time.Millisecond)
	if g := ask(5, 0); g.Granted != 1 {
		t.Fatalf("after Retry-After: %v, want 1", g)
	}
	if g := ask(10, 7); g.Granted != 7 {
		t.Fatalf("after 7 were given back: %v", g)
	}
	c.at = c.at.Add(time.Hour)
	if g := ask(100, 0); g.Granted != 60 {
		t.Fatalf("after an hour: %v, want 60", g)
	}
}

func TestRateMayChange(t *testing.T) {
	c := newClock()
	l := rate{perMinute: 100}
	l.take(c.at, order{want: 50})
	l.rescale(c.at, 60)
	if got := l.room(c.at); got != 10 {
		t.Errorf("room for %d after 50 of 60, want 10", got)
	}
	l.rescale(c.at, 10)
	if granted, wait := l.take(c.at, order{want: 1}); granted != 0 || wait <= 0 || wait > 6*time.Second {
		t.Errorf("granted %d, wait %s, from a full bucket of 10 a minute", granted, wait)
	}
}

func TestNoLimitGrantsAll(t *testing.T) {
	if g := New(Config{}).answer(&wire.QuotaRequest{Limit: "x", Want: 9}); g.Granted != 9 {
		t.Errorf("granted %v", g)
	}
}

// TestLostLimitsCountAsSpent: what died with who knew it is not granted again.
func TestLostLimitsCountAsSpent(t *testing.T) {
	c, lost := newClock(), true
	died := c.at.Add(-10 * time.Second)
	a := New(Config{Now: c.now, Lost: func(string) (time.Duration, bool) { return c.at.Sub(died), lost }})
	ask := func(id string) uint32 {
		return a.answer(&wire.QuotaRequest{Limit: id, PerMinute: 60, Want: 60}).Granted
	}
	if got := ask("a"); got != 10 {
		t.Errorf("granted %d of 60 a minute 10 s after it was lost, want 10", got)
	}
	if c.at = c.at.Add(5 * time.Second); ask("a") != 5 {
		t.Error("what is known is not what leaked since")
	}
	if told := a.collect(&Collect{Most: 9, All: true}); len(told) != 1 || told[0].EmptyUs != (15*time.Second).Microseconds() {
		t.Errorf("another who may own it is told of what was granted and of what is assumed: %v", told)
	}
	if lost = false; ask("b") != 60 {
		t.Error("one that was not lost is not granted whole")
	}
}

// TestWhatWasKnownOnceIsOld: who owns a limit again goes neither by what it knew then, nor
// does it take what it has been told meanwhile for nothing.
func TestWhatWasKnownOnceIsOld(t *testing.T) {
	c, ago, lost := newClock(), time.Duration(0), false
	noted := &wire.BudgetSpent{PeriodMs: time.Date(2023, 11, 1, 0, 0, 0, 0, time.UTC).UnixMilli()}
	a := New(Config{Now: c.now, Lost: func(string) (time.Duration, bool) { return ago, lost }, Spent: func(string) (*wire.BudgetSpent, bool) { return noted, true }})
	ask := func(id string, back uint32) uint32 {
		return a.answer(&wire.QuotaRequest{Limit: id, PerMinute: 60, Want: 60, GiveBack: back}).Granted
	}
	budget := func() uint64 {
		return a.answer(&wire.QuotaRequest{Limit: "t", Budget: &wire.BudgetAsk{Amount: 1000, Period: 2, Want: 1}, Need: 1}).GetBudget().GetRemaining()
	}
	if ask("a", 0) != 60 || ask("b", 0) != 60 || budget() != 999 {
		t.Fatal("what nobody has used is not granted")
	}
	c.at = c.at.Add(time.Hour)
	a.answer(&wire.QuotaRequest{States: []*wire.QuotaState{{Limit: "b", PerMinute: 60, EmptyUs: (20 * time.Second).Microseconds()}}})
	noted.Granted = 900
	c.at, ago, lost = c.at.Add(5*time.Second), 2*time.Second, true
	if got := ask("a", 0); got != 2 {
		t.Errorf("%d were granted of a limit that was lost 2 s ago and known an hour ago", got)
	}
	if got := ask("b", 0); got != 45 {
		t.Errorf("%d were granted of a limit whose owner told, before it died, that 15 of 60 are used now", got)
	}
	c.at, ago = c.at.Add(5*time.Second), ago+5*time.Second
	if got := ask("a", 2); got != 7 {
		t.Errorf("%d were granted where 5 have leaked out and 2 came back", got)
	}
	if got := budget(); got != 99 {
		t.Errorf("%d are left of 1000 where the state has 900 spent", got)
	}
}

func TestIdleLimitsAreForgotten(t *testing.T) {
	c := newClock()
	a := New(Config{Now: c.now})
	for i := range sweepAfter {
		a.answer(&wire.QuotaRequest{Limit: fmt.Sprint(i), PerMinute: 10, Want: 1})
	}
	c.at = c.at.Add(time.Hour)
	a.answer(&wire.QuotaRequest{Limit: "new", PerMinute: 10, Want: 1})
	if len(a.rates) != 1 {
		t.Errorf("%d limits kept, want the new one alone", len(a.rates))
	}
}

// TestNeverMoreThanTheLimit: over any span the grants and what was used without one,
// less what came back, are at most one bucket and what leaked in that span; and who is
// told a time gets what it needs then.
func TestNeverMoreThanTheLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newClock()
		begin := c.at
		perMinute := rapid.Uint32Range(1, math.MaxUint32).Draw(t, "perMinute")
		if rapid.Bool().Draw(t, "small") {
			perMinute = 1 + perMinute%10_000
		}
		l := rate{perMinute: perMinute}
		var out float64 // granted and not given back
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			c.at = c.at.Add(time.Duration(rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "pause")))
			o := order{want: rapid.Uint64Range(0, 2*uint64(perMinute)).Draw(t, "want"), back: rapid.Uint64Range(0, uint64(min(max(out, 0), 50))).Draw(t, "back")}
			o.need = rapid.Uint64Range(0, o.want).Draw(t, "need")
			granted, wait := l.take(c.at, o)
			out += float64(granted) - float64(o.back)
			if granted > max(o.want, o.need) || granted > 0 && granted < min(o.need, uint64(perMinute)) {
				t.Fatalf("granted %d of %+v", granted, o)
			}
			if granted == 0 && o.want > 0 && wait <= 0 {
				t.Fatalf("nothing granted, and no time told")
			}
			if bound := float64(perMinute)*(1+c.at.Sub(begin).Minutes()*1.000001) + 1; out > bound {
				t.Fatalf("%v out after %s, over %v", out, c.at.Sub(begin), bound)
			}
			if granted == 0 && o.want > 0 {
				c.at = c.at.Add(wait)
				again, _ := l.take(c.at, order{want: 1, need: o.need})
				if again == 0 || again < min(o.need, uint64(perMinute)) {
					t.Fatalf("%d of the %d needed after the time told", again, o.need)
				}
				out += float64(again)
			}
		}
	})
}

// TestDebtIsPaidBack: what was used without a grant is counted, however much it is.
func TestDebtIsPaidBack(t *testing.T) {
	c := newClock()
	l := rate{perMinute: 60}
	if l.take(c.at, order{debt: 90}); l.empty.Sub(c.at) != 90*time.Second {
		t.Fatalf("empty in %v after 90 of 60 a minute", l.empty.Sub(c.at))
	}
	if granted, wait := l.take(c.at, order{want: 1}); granted != 0 || wait != 31*time.Second {
		t.Errorf("granted %d, wait %v", granted, wait)
	}
	l.take(c.at, order{debt: 1 << 60})
	if l.empty.Sub(c.at) != mostOwed {
		t.Errorf("empty in %v", l.empty.Sub(c.at))
	}
}

// TestLongAnswersKeepTheLimit: who asks for little and uses much waits until that has leaked out, also where
// the limit is changed or its owner dies meanwhile.
func TestLongAnswersKeepTheLimit(t *testing.T) {
	c := newClock()
	a := New(Config{Now: c.now})
	used, perMinute := uint64(0), uint32(1000)
	ask := func(r *wire.QuotaRequest) *wire.QuotaGrant {
		r.Limit, r.PerMinute = "key/k/tpm", perMinute
		return a.answer(r)
	}
	for minute := range 600 {
		g := ask(&wire.QuotaRequest{Want: 250, Need: 250})
		switch {
		case g.Granted >= 250:
			used += 32_000
			ask(&wire.QuotaRequest{Debt: 32_000 - uint64(g.Granted)})
		case g.RetryAfterMs <= 0 || g.RetryAfterMs > (33*time.Minute).Milliseconds():
			t.Fatalf("to be asked again in %d ms", g.RetryAfterMs)
		}
		switch minute % 100 {
		case 10:
			perMinute = 2000
		case 11:
			perMinute = 1000
		case 40:
			b := New(Config{Now: c.now})
			b.answer(&wire.QuotaRequest{States: a.collect(&Collect{Most: 9, All: true})})
			a = b
		}
		c.at = c.at.Add(time.Minute)
	}
	if used < 500_000 || used > 700_000 {
		t.Errorf("%d used in ten hours of 60,000 each", used)
	}
}

// TestNextOwnerGoesOn: an owner that was told of another's limits grants what that one would have.
func TestNextOwnerGoesOn(t *testing.T) {
	c := newClock()
	changed := 0
	a, b := New(Config{Now: c.now, Changed: func() { changed++ }}), New(Config{Now: c.now})
	a.answer(&wire.QuotaRequest{Limit: "r", PerMinute: 60, Want: 50})
	a.answer(&wire.QuotaRequest{Limit: "b", Budget: &wire.BudgetAsk{Amount: 100, Period: 1, Want: 80}, Need: 80})
	if changed != 2 {
		t.Errorf("%d changes", changed)
	}
	first, rest := a.collect(&Collect{Most: 1}), a.collect(&Collect{Most: 9})
	if len(first) != 1 || len(rest) != 1 || len(a.collect(&Collect{Most: 9})) != 0 {
		t.Fatalf("told %v and %v", first, rest)
	}
	c.at = c.at.Add(10 * time.Second)
	for range 2 {
		b.answer(&wire.QuotaRequest{States: append(first, rest...)}) // 10 s late: it counts as full as it was
	}
	if g := b.answer(&wire.QuotaRequest{Limit: "r", PerMinute: 60, Want: 50}); g.Granted != 10 {
		t.Errorf("the next owner grants %d, want 10", g.Granted)
	}
	g := b.answer(&wire.QuotaRequest{Limit: "b", Budget: &wire.BudgetAsk{Amount: 100, Period: 1, Want: 1}, Need: 1})
	if g.Budget.Remaining+g.Budget.Granted != 20 {
		t.Errorf("the next owner has %v left of the budget, want 20", g.Budget)
	}
	if again := a.collect(&Collect{Most: 9, All: true}); len(again) != 2 {
		t.Errorf("all are %v", again)
	}
	if noted := a.collect(&Collect{Most: 9, Budgets: true}); len(noted) != 1 || noted[0].GetGranted() != 80 {
		t.Errorf("to be noted: %v", noted)
	}
}

// TestBudget: never more than it in a period, anew in the next, and on from what the
// replicated state has.
func TestBudget(t *testing.T) {
	c := newClock() // 2023-11-14 22:13:20
	day := time.Date(2023, 11, 14, 0, 0, 0, 0, time.UTC)
	a := New(Config{Now: c.now, Spent: func(id string) (*wire.BudgetSpent, bool) {
		return &wire.BudgetSpent{Limit: id, PeriodMs: day.UnixMilli(), Granted: 500, Returned: 100}, id == "b"
	}})
	ask := func(need, back, debt uint64, of int64) *wire.QuotaGrant {
		return a.answer(&wire.QuotaRequest{Limit: "b", Need: need, Debt: debt, Budget: &wire.BudgetAsk{Amount: 1000, Period: 1, Want: 1000, GiveBack: back, PeriodMs: of}})
	}
	g := ask(10, 0, 0, 0)
	if g.Budget.Granted != 75 || g.Budget.Remaining != 525 || g.Budget.PeriodMs != day.UnixMilli() || g.TtlMs != 60_000 {
		t.Fatalf("%v, want an eighth of the 600 left", g)
	}
	if g := ask(526, 0, 0, 0); g.Budget.Granted != 0 || g.RetryAfterMs != day.AddDate(0, 0, 1).Sub(c.at).Milliseconds() {
		t.Fatalf("%v, want nothing until the day ends", g)
	}
	if g := ask(550, 75, 25, day.UnixMilli()); g.Budget.Granted != 550 || g.Budget.Remaining != 25 {
		t.Fatalf("%v, with 75 given back and 25 used beyond", g)
	}
	c.at = day.AddDate(0, 0, 1)
	if g := ask(1, 40, 40, day.UnixMilli()); g.Budget.Granted != 125 || g.Budget.Remaining != 875 || g.Budget.ResetMs != 24*3600*1000 {
		t.Fatalf("%v on the next day", g)
	}
	for at, want := range map[time.Time]time.Time{
		time.Date(2024, 2, 29, 23, 59, 59, 999, time.UTC):               time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2024, 12, 31, 20, 0, 0, 0, time.FixedZone("", -7200)): time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		if begin, end := Month.Bounds(at); !end.Equal(want) || begin.After(at) {
			t.Errorf("the month of %s is %s to %s", at, begin, end)
		}
	}
}

// TestBudgetIsExact: whatever comes in which order, no more than the budget is out.
func TestBudgetIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amount := rapid.Uint64Range(1, 1<<40).Draw(t, "amount")
		b, out := budget{begin: 1}, uint64(0)
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			o := order{want: rapid.Uint64Range(0, amount).Draw(t, "want"), back: rapid.Uint64Range(0, out).Draw(t, "back")}
			o.need = rapid.Uint64Range(0, o.want).Draw(t, "need")
			granted := b.take(amount, o, 1)
			out = out - o.back + granted
			if out > amount || out != b.spent() || granted > 0 && granted < o.need {
				t.Fatalf("%d are out of %d, and it knows of %d; granted %d of %+v", out, amount, b.spent(), granted, o)
			}
			if late := rapid.Bool().Draw(t, "late"); late {
				b.learn(1, b.granted/2, b.returned/2)
			}
		}
		if granted := b.take(amount, order{want: 1, need: amount - out}, 1); out < amount && granted == 0 {
			t.Fatalf("nothing granted with %d of %d out", out, amount)
		}
	})
}

func TestActorAnswers(t *testing.T) {
	s := actor.NewActorSystem()
	pid := s.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return New(Config{}) }))
	defer func() { _ = s.Root.StopFuture(pid).Wait() }()
	reply := make(chan *wire.QuotaGrant, 1)
	s.Root.Send(pid, &Ask{Request: &wire.QuotaRequest{Limit: "a", PerMinute: 6, Want: 9}, Reply: reply})
	select {
	case g := <-reply:
		if g.Granted != 6 {
			t.Errorf("granted %v, want 6", g)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("no answer")
	}
}
