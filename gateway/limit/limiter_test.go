package limit

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/lotabots/lotabots/cluster/wire"
)

func rpm(id string, n uint32) *Limit {
	return &Limit{ID: id, Of: id, Amount: uint64(n)}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An owner keeps one limit by GCRA with a burst of ten seconds' worth.
type owner struct {
	sync.Mutex
	perMin  uint32
	ttl     time.Duration
	tat     time.Time
	asked   int
	granted uint32
	back    uint32
	down    error
	delay   time.Duration
}

func (o *owner) Lease(ctx context.Context, r *wire.QuotaRequest) (*wire.QuotaGrant, error) {
	o.Lock()
	delay := o.delay
	o.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	o.Lock()
	defer o.Unlock()
	o.asked++
	if o.down != nil {
		return nil, o.down
	}
	now, interval := time.Now(), time.Minute/time.Duration(o.perMin)
	o.tat = o.tat.Add(-time.Duration(r.GetGiveBack()) * interval)
	o.back += r.GetGiveBack()
	o.tat = o.tat.Add(time.Duration(r.GetDebt()) * interval)
	if o.tat.Before(now) {
		o.tat = now
	}
	room := uint32(max(now.Add(10*time.Second).Sub(o.tat)/interval, 0))
	n := min(r.GetWant(), room)
	o.tat = o.tat.Add(time.Duration(n) * interval)
	o.granted += n
	return &wire.QuotaGrant{Granted: n, TtlMs: o.ttl.Milliseconds(), RetryAfterMs: (interval - now.Add(10*time.Second).Sub(o.tat)).Milliseconds() + 1, Remaining: room - n}, nil
}

func (o *owner) set(change func(*owner)) {
	o.Lock()
	defer o.Unlock()
	change(o)
}

// drive sends requests every pause for so long, and counts those admitted.
func drive(l *Limiter, perMin uint32, pause, long time.Duration) (admitted int) {
	for end := time.Now().Add(long); time.Now().Before(end); time.Sleep(pause) {
		if l.Take(context.Background(), rpm("k", perMin), 1).OK {
			admitted++
		}
	}
	return admitted
}

func TestHoldsTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &owner{perMin: 600, ttl: 2 * time.Second, delay: time.Millisecond}
		one, two := New(Config{Leaser: o}), New(Config{Leaser: o})
		defer one.Close()
		defer two.Close()
		var a, b int
		var wg sync.WaitGroup
		wg.Go(func() { a = drive(one, 600, 20*time.Millisecond, time.Minute) }) // 50 a second
		wg.Go(func() { b = drive(two, 600, 100*time.Millisecond, time.Minute) })
		wg.Wait()
		if sum := a + b; sum > 700 || sum < 630 { // 600, and a burst of 100
			t.Errorf("%d and %d admitted in a minute of 600", a, b)
		}
		if b < 60 {
			t.Errorf("the quieter gateway got %d", b)
		}
		if o.asked > 2*60*20 { // each gateway at most every 50 ms, however many it refuses
			t.Errorf("%d leases for %d requests", o.asked, a+b)
		}
	})
}

// TestUnderTheRate: who stays below the limit is never refused and seldom
// makes a request wait for the owner.
func TestUnderTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &owner{perMin: 6000, ttl: 2 * time.Second, delay: 5 * time.Millisecond}
		l := New(Config{Leaser: o})
		defer l.Close()
		waited := 0
		for range 3000 {
			began := time.Now()
			if !l.Take(t.Context(), rpm("k", 6000), 1).OK {
				t.Fatal("refused")
			}
			if time.Since(began) > 0 {
				waited++
			}
			time.Sleep(20 * time.Millisecond)
		}
		if waited > 10 || o.asked > 150 {
			t.Errorf("%d of 3000 waited, %d leases", waited, o.asked)
		}
	})
}

func TestLeftoversGoBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &owner{perMin: 6000, ttl: time.Second}
		l := New(Config{Leaser: o})
		defer l.Close()
		drive(l, 6000, 10*time.Millisecond, 5*time.Second)
		time.Sleep(5 * time.Second)
		l.Take(t.Context(), rpm("k", 6000), 1)
		l.Close()
		l.limit["k"].Lock()
		defer l.limit["k"].Unlock()
		if held := uint32(l.limit["k"].b.avail); o.granted-o.back-held != 501 {
			t.Errorf("%d granted, %d given back, %d held: not the 501 that were spent", o.granted, o.back, held)
		}
	})
}

func TestOwnerGoneAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &owner{perMin: 600, ttl: 2 * time.Second}
		l := New(Config{Leaser: o, Gateways: func() int { return 2 }})
		defer l.Close()
		drive(l, 600, 50*time.Millisecond, 30*time.Second)
		o.set(func(o *owner) { o.down = errors.New("gone") })
		time.Sleep(3 * time.Second) // the last lease runs out
		n := drive(l, 600, 50*time.Millisecond, time.Minute)
		if n < 290 || n > 310 { // half of 600, and a burst of half a second's
			t.Errorf("%d admitted in a minute of the share", n)
		}
		d := l.Take(t.Context(), rpm("k", 600), 1)
		if !d.Shared {
			t.Errorf("decided by the owner, who is gone: %+v", d)
		}
		o.set(func(o *owner) { o.down = nil })
		time.Sleep(2 * time.Second)
		if d := l.Take(t.Context(), rpm("k", 600), 1); d.Shared || !d.OK {
			t.Errorf("the owner is back: %+v", d)
		}
	})
}

// TestSilentOwner bounds how long a request waits for one who does not answer.
func TestSilentOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &owner{perMin: 600, ttl: time.Second, delay: time.Hour}
		l := New(Config{Leaser: o, Timeout: 300 * time.Millisecond})
		defer l.Close()
		began := time.Now()
		if d := l.Take(t.Context(), rpm("k", 600), 1); !d.OK || !d.Shared || time.Since(began) != 300*time.Millisecond {
			t.Errorf("%+v after %v", d, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		began = time.Now()
		if d := l.Take(ctx, rpm("other", 600), 1); d.OK || time.Since(began) != 10*time.Millisecond {
			t.Errorf("%+v, and its client waited %v", d, time.Since(began))
		}
		synctest.Wait()
	})
}

// TestUnansweredIsToldAnew, and as such: its owner may have heard it and answered too late.
func TestUnansweredIsToldAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &owner{perMin: 6000, ttl: time.Second}
		heard := &hearing{Leaser: o}
		l := New(Config{Leaser: heard, Timeout: 300 * time.Millisecond})
		l.Start()
		defer l.Close()
		lim := &Limit{ID: "k", Of: "k", Amount: 6000, Unit: Tokens}
		d := l.Take(t.Context(), lim, 500)
		l.Take(t.Context(), rpm("other", 60), 1)
		time.Sleep(2 * time.Second)
		o.set(func(o *owner) { o.delay = 400 * time.Millisecond })
		l.Settle(lim, 500, 100, d.Period)
		time.Sleep(5 * time.Second)
		o.set(func(o *owner) { o.delay = 0 })
		time.Sleep(3 * time.Second)
		heard.Lock()
		defer heard.Unlock()
		back, answered := 0, uint64(0)
		for i, r := range heard.of("k") {
			if r.GetAsker() != l.asker || r.GetAnswered() != answered || i > 0 && r.GetSeq() <= heard.of("k")[i-1].GetSeq() {
				t.Errorf("request %d is %v, and %d was answered", i, r, answered)
			}
			if back += int(r.GetGiveBack() / 400); heard.well[r.GetSeq()] {
				answered = r.GetSeq()
			}
		}
		if back < 3 || !heard.well[l.seq.Load()] {
			t.Errorf("400 were given back %d times", back)
		}
	})
}

// hearing notes what an owner is asked and whether its answer comes.
type hearing struct {
	Leaser
	sync.Mutex
	all  []*wire.QuotaRequest
	well map[uint64]bool
}

func (h *hearing) Lease(ctx context.Context, r *wire.QuotaRequest) (*wire.QuotaGrant, error) {
	h.Lock()
	h.all = append(h.all, r)
	h.Unlock()
	g, err := h.Leaser.Lease(ctx, r)
	h.Lock()
	defer h.Unlock()
	if h.well == nil {
		h.well = map[uint64]bool{}
	}
	h.well[r.GetSeq()] = err == nil
	return g, err
}

func (h *hearing) of(limit string) (out []*wire.QuotaRequest) {
	for _, r := range h.all {
		if r.GetLimit() == limit {
			out = append(out, r)
		}
	}
	return out
}

// TestManyAtOnce share one lease under way instead of asking each.
func TestManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &owner{perMin: 6000, ttl: time.Second, delay: 10 * time.Millisecond}
		l := New(Config{Leaser: o})
		defer l.Close()
		var ok atomic.Int32
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				if l.Take(t.Context(), rpm("k", 6000), 1).OK {
					ok.Add(1)
				}
			})
		}
		wg.Wait()
		if ok.Load() != 200 || o.asked > 4 {
			t.Errorf("%d of 200 admitted by %d leases", ok.Load(), o.asked)
		}
	})
}

// TestChangedLimit is in force at once: nothing leased under the old one is spent.
func TestChangedLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &owner{perMin: 600, ttl: time.Minute}
		l := New(Config{Leaser: o})
		defer l.Close()
		drive(l, 600, 10*time.Millisecond, time.Second)
		o.set(func(o *owner) { o.perMin, o.tat = 1, time.Now().Add(time.Hour) })
		if d := l.Take(t.Context(), rpm("k", 1), 1); d.OK || d.Limit != 1 || d.RetryAfter <= 0 {
			t.Errorf("%+v", d)
		}
		l.Take(t.Context(), &Limit{ID: Prefix(OfKey, "k") + "rpm", Amount: 9}, 1)
		l.Forget(OfKey, "k")
		if len(l.limit) != 1 {
			t.Error("not forgotten")
		}
	})
}

// TestSlot is for a limit that is looked for once, and anew by those who know of it later.
func TestSlot(t *testing.T) {
	l := New(Config{Leaser: endless{}})
	defer l.Close()
	lims := Of(OfKey, "k", &wire.Limits{RequestsPerMinute: 60})
	for range 3 {
		l.Take(t.Context(), &lims[0], 1)
	}
	e := l.limit[lims[0].ID]
	if e == nil || lims[0].Slot.at.Load() != e || e.b.uses != 3 {
		t.Fatalf("%+v", e)
	}
	l.Forget(OfKey, "k")
	l.Settle(&lims[0], 1, 0, time.Now().UnixMilli())
	if len(l.limit) != 0 {
		t.Error("one that had it has had it kept again")
	}
	again := Of(OfKey, "k", &wire.Limits{RequestsPerMinute: 60})
	if l.Take(t.Context(), &again[0], 1); l.limit[again[0].ID] == e || again[0].Slot.at.Load() == e {
		t.Error("what was forgotten is used by a limit that is new")
	}
}

// TestSharersAreAskedForRarely: counting them takes its time, and each request has its limits looked at.
func TestSharersAreAskedForRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		o := &owner{perMin: 6000, ttl: time.Minute}
		l := New(Config{Leaser: o, Gateways: func() int { asked++; return 2 }})
		defer l.Close()
		lim := rpm("k", 6000)
		d := l.Take(t.Context(), lim, 5)
		if l.Settle(lim, 5, 1, d.Period); !d.OK || asked != 0 {
			t.Fatalf("%d times, with an owner; %+v", asked, d)
		}
		o.set(func(o *owner) { o.down = errors.New("gone") })
		if d := l.Take(t.Context(), lim, 6000); !d.Shared || asked == 0 {
			t.Errorf("%d times, without one; %+v", asked, d)
		}
	})
}

func TestClosed(t *testing.T) {
	o := &owner{perMin: 60, ttl: time.Second}
	l := New(Config{Leaser: o})
	l.Close()
	l.Close()
	if d := l.Take(context.Background(), rpm("k", 60), 1); !d.Shared || o.asked != 0 {
		t.Errorf("%+v after %d leases", d, o.asked)
	}
}

func BenchmarkAllow(b *testing.B) {
	l := New(Config{Leaser: endless{}})
	defer l.Close()
	lim := Of(OfKey, "k", &wire.Limits{RequestsPerMinute: 4_000_000_000})
	b.ReportAllocs()
	for b.Loop() {
		l.Take(context.Background(), &lim[0], 1)
	}
}

type endless struct{}

func (endless) Lease(context.Context, *wire.QuotaRequest) (*wire.QuotaGrant, error) {
	return &wire.QuotaGrant{Granted: 1 << 30, TtlMs: 1 << 30}, nil
}
