package slots_test

import (
	"testing"
	"time"

	"github.com/lotabots/lotabots/actors/slots"
	"github.com/lotabots/lotabots/actors/slots/trial"
)

// TestACollapseIsSeenWhileItIs: an engine that does ever less beyond a few, and whose answers take minutes, gets as
// many as it bears before those that are too many have ended, be its tokens counted by itself or seen to come, of all
// answers or of half of them.
func TestACollapseIsSeenWhileItIs(t *testing.T) {
	const n, tokens, load = 4, 2000, 0.7
	for seed := range uint64(5) {
		s := trial.Setting{Rate: trial.Collapsing(n, each), Ceiling: ceiling, PerHour: load * n * each / tokens * 3600, Ramp: time.Hour, Tokens: tokens, Noise: 0.2,
			Counts: 4 * time.Hour, Lasts: 20 * time.Hour, Seed: seed}
		still := s
		still.Fixed = n
		best := trial.Run(still)
		for name, see := range map[string]func(*trial.Setting){
			"counted":  func(s *trial.Setting) { s.Counted = true },
			"streamed": func(s *trial.Setting) { s.Streams = 1 },
			"half":     func(s *trial.Setting) { s.Streams = 0.5 },
		} {
			found := s
			see(&found)
			got := trial.Run(found)
			if took, least := got.P(0.99), best.P(0.99); took > 2*least || got.Goodput < 0.9*best.Goodput {
				t.Errorf("%s, seed %d: p99 %v and %.1f tokens/s, where %d at a time have %v and %.1f; %.1f at a time, %d to %d", name, seed, took, got.Goodput, n, least, best.Goodput, got.Limit, got.Low, got.High)
			}
		}
	}
}

// TestACountThatBeginsAnewTellsNothing: another engine counts from zero, and who is counted may change.
func TestACountThatBeginsAnewTellsNothing(t *testing.T) {
	c, now, passed := &slots.Controller{}, time.Unix(1_000_000, 0), slots.Passed{}
	c.Ceiling(ceiling)
	look := func(n int, told slots.Told) {
		now = now.Add(time.Second)
		passed.Busy, passed.Held, passed.Streamed, passed.Share, passed.Taken = passed.Busy+1, passed.Held+float64(n), passed.Streamed+float64(n), passed.Share+1/float64(n), passed.Taken+float64(n)
		told.Passed, told.Leases = passed, n
		if why := c.Look(told, now); why != slots.Unchanged {
			t.Fatalf("%s: %d", why, c.Limit())
		}
	}
	for i := range uint64(300) { // eight are served as fast as four, each time since the count began
		look(4, slots.Told{Tokens: 1_000_000 + 120*i})
	}
	for i := range uint64(300) {
		look(8, slots.Told{Tokens: 1 + 120*(i%2), Pieces: 1})
		look(8, slots.Told{Pieces: 1_000_000 * i})
	}
}

// TestStreamsThatStandStillTellNothing: thousands that said something when they began and are silent since, as while a
// tool runs or a person thinks, take nothing from each other.
func TestStreamsThatStandStillTellNothing(t *testing.T) {
	const most, each, silent, looks = 10_000, 500, 28.0, 10 // streams, new ones a second, seconds between two tokens, looks a second
	c, now, passed, pieces := &slots.Controller{}, time.Unix(1_000_000, 0), slots.Passed{}, 0.0
	c.Ceiling(2 * most)
	look := func(n int) {
		const s = 1.0 / looks
		now = now.Add(time.Second / looks)
		passed.Busy, passed.Held, passed.Streamed, passed.Share, passed.Taken = passed.Busy+s, passed.Held+s*float64(n), passed.Streamed+s*float64(n), passed.Share+s/float64(n), passed.Taken+s*float64(n)
		pieces += s * float64(n) / silent
		if why := c.Look(slots.Told{Passed: passed, Leases: n, Pieces: uint64(pieces)}, now); why != slots.Unchanged {
			t.Fatalf("%d streams: %d at a time, %v", n, c.Limit(), why)
		}
	}
	pieces++
	for range 20 * looks { // the first is alone for a while
		look(1)
	}
	for n := 1; n < most; n += each / looks {
		pieces += each / looks
		look(n)
	}
	for range 60 * looks {
		look(most)
	}
}

// TestNobodyFleesFromShortRequests: an engine whose answers take milliseconds, and that does less the more there are of them,
// keeps its places: to queue for one at each request would cost more.
func TestNobodyFleesFromShortRequests(t *testing.T) {
	for _, c := range []struct {
		takes time.Duration // of a request among sixteen
		flees bool
	}{{5 * time.Millisecond, false}, {2 * time.Second, true}} {
		limit, now := &slots.Controller{}, time.Unix(1_000_000, 0)
		limit.Ceiling(256)
		serve := func(requests int, n float64, takes time.Duration) {
			for range requests {
				now = now.Add(time.Duration(float64(takes) / n))
				limit.Ended(beside(takes, n, n, 30), now)
			}
		}
		serve(400, 16, c.takes)
		serve(400, 64, 12*c.takes)
		if fled := limit.Limit() < 256; fled != c.flees {
			t.Errorf("%v: %d places", c.takes, limit.Limit())
		}
	}
}
