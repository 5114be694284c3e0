package quota

import (
	"fmt"
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
	a := New(c.now)
	ask := func(want, back uint32) *wire.QuotaGrant {
		return a.grant(&wire.QuotaRequest{Limit: "key/k/rpm", PerMinute: 60, Want: want, GiveBack: back})
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
	l := limit{perMinute: 100}
	l.take(c.at, 50, 0)
	l.rescale(c.at, 60)
	if got := l.room(c.at); got != 10 {
		t.Errorf("room for %d after 50 of 60, want 10", got)
	}
	l.rescale(c.at, 10)
	if granted, wait := l.take(c.at, 1, 0); granted != 0 || wait <= 0 || wait > 6*time.Second {
		t.Errorf("granted %d, wait %s, from a full bucket of 10 a minute", granted, wait)
	}
}

func TestNoLimitGrantsAll(t *testing.T) {
	if g := New(time.Now).grant(&wire.QuotaRequest{Limit: "x", Want: 9}); g.Granted != 9 {
		t.Errorf("granted %v", g)
	}
}

func TestIdleLimitsAreForgotten(t *testing.T) {
	c := newClock()
	a := New(c.now)
	for i := range sweepAfter {
		a.grant(&wire.QuotaRequest{Limit: fmt.Sprint(i), PerMinute: 10, Want: 1})
	}
	c.at = c.at.Add(time.Hour)
	a.grant(&wire.QuotaRequest{Limit: "new", PerMinute: 10, Want: 1})
	if len(a.limits) != 1 {
		t.Errorf("%d limits kept, want the new one alone", len(a.limits))
	}
}

// TestNeverMoreThanTheLimit: over any span the grants, less what came back, are at
// most one bucket and what leaked in that span.
func TestNeverMoreThanTheLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newClock()
		begin := c.at
		perMinute := rapid.Uint32Range(1, 10_000).Draw(t, "perMinute")
		l := limit{perMinute: perMinute}
		var out float64 // granted and not given back
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			c.at = c.at.Add(time.Duration(rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "pause")))
			want := rapid.Uint32Range(0, 2*perMinute).Draw(t, "want")
			back := rapid.Uint32Range(0, uint32(min(out, 50))).Draw(t, "back")
			granted, wait := l.take(c.at, want, back)
			out += float64(granted) - float64(back)
			if granted > want {
				t.Fatalf("granted %d of %d", granted, want)
			}
			if granted == 0 && want > 0 && wait <= 0 {
				t.Fatalf("nothing granted, and no time told")
			}
			// What leaks is at most the rate times the span; intervals are whole nanoseconds.
			if bound := float64(perMinute) + c.at.Sub(begin).Seconds()/60*float64(perMinute)*1.0001 + 1; out > bound {
				t.Fatalf("%v out after %s, over %v", out, c.at.Sub(begin), bound)
			}
			if granted == 0 && want > 0 {
				c.at = c.at.Add(wait)
				if again, _ := l.take(c.at, 1, 0); again != 1 {
					t.Fatalf("nothing after the time told")
				}
				out++
			}
		}
	})
}

func TestActorAnswers(t *testing.T) {
	s := actor.NewActorSystem()
	pid := s.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return New(time.Now) }))
	defer func() { _ = s.Root.StopFuture(pid).Wait() }()
	reply := make(chan *wire.QuotaGrant, 1)
	s.Root.Send(pid, &Ask{Request: &wire.QuotaRequest{Limit: "a", PerMinute: 6, Want: 9}, Reply: reply})
	select {
	case g := <-reply:
		if g.Granted != 6 {
			t.Errorf("granted %v, want 6", g)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("no answer")
	}
}
