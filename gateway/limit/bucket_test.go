package limit

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/wire"
)

var epoch = time.Unix(1_000_000, 0)

// TestShareBounds holds the share to its bound: in any window never more than
// the rate's part of it and one burst.
func TestShareBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perMin := rapid.Uint32Range(1, 6000).Draw(t, "per minute")
		gateways := rapid.IntRange(1, 5).Draw(t, "gateways")
		b := bucket{}
		b.reset(perMin)
		var admitted []time.Time
		now := epoch
		for range rapid.IntRange(1, 300).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "pause")) * time.Millisecond)
			if b.takeShare(now, gateways) == spend {
				admitted = append(admitted, now)
			}
		}
		part := float64(perMin) / 60 / float64(gateways) // per second
		burst := max(10*part, 1)
		for i := range admitted {
			for j := i; j < len(admitted); j++ {
				window := admitted[j].Sub(admitted[i]).Seconds()
				if n := float64(j - i + 1); n > window*part+burst+1e-3 {
					t.Fatalf("%v admitted in %v s at %v a second", n, window, part)
				}
			}
		}
		if len(admitted) == 0 {
			t.Fatal("not even the first was admitted")
		}
	})
}

// TestShareAdmitsItsPart: who asks all the time gets the share, not less.
func TestShareAdmitsItsPart(t *testing.T) {
	for _, c := range []struct {
		perMin   uint32
		gateways int
	}{{60, 1}, {600, 3}, {1, 1}, {7, 2}} {
		b := bucket{}
		b.reset(c.perMin)
		n := 0
		for now := epoch; now.Before(epoch.Add(time.Hour)); now = now.Add(50 * time.Millisecond) {
			if b.takeShare(now, c.gateways) == spend {
				n++
			}
		}
		want := 60 * float64(c.perMin) / float64(c.gateways)
		if got := float64(n); got < want-1 || got > want+max(want/360, 1)+1 {
			t.Errorf("%d a minute over %d gateways: %v in an hour, want about %v", c.perMin, c.gateways, got, want)
		}
	}
}

func TestLeaseIsSpentAndRunsOut(t *testing.T) {
	b := bucket{}
	b.reset(600)
	if v := b.take(epoch, 1); v != ask {
		t.Fatalf("without a lease: %d", v)
	}
	b.answer(epoch, &wire.QuotaGrant{Granted: 3, TtlMs: 1000, Remaining: 10})
	if b.take(epoch, 1) != spend || b.take(epoch.Add(999*time.Millisecond), 1) != spend {
		t.Error("a lease in force is not spent")
	}
	d := b.decision(epoch, spend, 1)
	if !d.OK || d.Remaining != 11 || d.Limit != 600 || d.Reset != 58900*time.Millisecond {
		t.Errorf("decision %+v", d)
	}
	if v := b.take(epoch.Add(time.Second), 1); v != ask {
		t.Errorf("a lease that has run out: %d", v)
	}
	if r := b.request("x", 1); r.GetGiveBack() != 1 || r.GetLimit() != "x" || r.GetPerMinute() != 600 {
		t.Errorf("asks for %v", r)
	}
	if r := b.request("x", 1); r.GetGiveBack() != 0 {
		t.Error("gives back twice")
	}
	b.failed(epoch.Add(time.Second), 1)
	if r := b.request("x", 1); r.GetGiveBack() != 1 {
		t.Error("what did not arrive is not given back")
	}
}

func TestRefusalIsBounded(t *testing.T) {
	for told, want := range map[int64]time.Duration{0: 50 * time.Millisecond, 700: 700 * time.Millisecond, 1 << 40: time.Minute} {
		b := bucket{}
		b.reset(60)
		b.answer(epoch, &wire.QuotaGrant{RetryAfterMs: told})
		if b.take(epoch.Add(want-1), 1) != deny || b.take(epoch.Add(want), 1) != ask {
			t.Errorf("told %d ms: not refused for %v", told, want)
		}
		if d := b.decision(epoch, deny, 1); d.OK || d.RetryAfter != want {
			t.Errorf("told %d ms: %+v", told, d)
		}
	}
}

// TestAsksForItsRecentUse: about two seconds of it, never more than a quarter
// of the limit, never nothing.
func TestAsksForItsRecentUse(t *testing.T) {
	b := bucket{}
	b.reset(6000)
	now := epoch
	for range 20 * 100 {
		b.used(now)
		now = now.Add(10 * time.Millisecond)
	}
	if r := b.request("x", 1).GetWant(); r < 150 || r > 220 {
		t.Errorf("at 100 a second asks for %d", r)
	}
	b.perMin = 60
	if r := b.request("x", 1).GetWant(); r != 15 {
		t.Errorf("asks for %d of 60", r)
	}
	b.reset(2)
	if r := b.request("x", 9).GetWant(); r != 1 {
		t.Errorf("asks for %d of 2", r)
	}
	b.used(epoch)
	b.used(epoch.Add(240 * time.Hour)) // must not go through every second of it
	if b.rate != 0 {
		t.Errorf("a rate of %v after ten days", b.rate)
	}
}
