package slots_test

import (
	"flag"
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/actors/slots"
	"github.com/lotabots/lotabots/actors/slots/trial"
)

const ceiling = 64

// Each check runs through thousands of requests.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		if err := f.Value.Set("15"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// steadily is rapid.Check with the same draws each time, unless -rapid.seed says otherwise: what it checks holds
// for nearly all draws, since the controller goes by samples, and not for each that there is.
func steadily(t *testing.T, check func(*rapid.T)) {
	if f := flag.Lookup("rapid.seed"); f.Value.String() == f.DefValue {
		if err := f.Value.Set("1"); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Value.Set(f.DefValue) }()
	}
	rapid.Check(t, check)
}

// each is the tokens per second that a request alone gets.
const each = 30.0

// beside is a request that had so many others beside it.
func beside(held time.Duration, n, places float64, tokens int) slots.Sample {
	s := held.Seconds()
	return slots.Sample{Passed: slots.Passed{Busy: s, Held: n * s, Share: s / n, Taken: places * s}, Completion: tokens}
}

// pressed is a setting in which there are always more requests than places, of an engine that
// serves as many as n alone at most. Results count after so many requests, and for as many.
func pressed(rate func(int, time.Duration) float64, n, requests int, seed uint64) trial.Setting {
	const tokens = 100
	counts := time.Duration(float64(requests) * tokens / each / float64(n) * float64(time.Second))
	return trial.Setting{Rate: rate, Ceiling: ceiling, Clients: 2 * ceiling, Tokens: tokens, Noise: 0.2, Counts: counts, Lasts: 2 * counts, Seed: seed}
}

// TestTheLimitIsNeverOutsideItsBounds, whatever is told in whatever order.
func TestTheLimitIsNeverOutsideItsBounds(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		c, now := slots.Controller{}, time.Unix(1_000_000, 0)
		if c.Limit() != 0 || c.Ended(beside(time.Second, 1, 1, 0), now) != slots.Unchanged {
			r.Fatal("it decides without a ceiling")
		}
		top := rapid.IntRange(-1, 200).Draw(r, "ceiling")
		c.Ceiling(top)
		passed := slots.Passed{}
		for range rapid.IntRange(1, 400).Draw(r, "steps") {
			before, why := c.Limit(), slots.Unchanged
			now = now.Add(time.Duration(rapid.Int64Range(-int64(time.Second), int64(time.Minute)).Draw(r, "passed")))
			switch rapid.IntRange(0, 9).Draw(r, "what") {
			case 0:
				s, n := rapid.Float64Range(0, 1e4).Draw(r, "seconds"), rapid.Float64Range(1, 300).Draw(r, "there")
				passed = slots.Passed{Busy: passed.Busy + s, Held: passed.Held + n*s, Streamed: passed.Streamed + n*s*rapid.Float64Range(0, 1).Draw(r, "streamed"), Share: passed.Share + s/n, Taken: passed.Taken + n*s}
				why = c.Look(slots.Told{Passed: passed, Tokens: rapid.Uint64Range(0, 3).Draw(r, "counts") * rapid.Uint64().Draw(r, "tokens"), Pieces: rapid.Uint64Range(0, 1e9).Draw(r, "seen"), Leases: rapid.IntRange(-1, 300).Draw(r, "leases"), Known: rapid.Bool().Draw(r, "known"), Running: rapid.IntRange(0, 300).Draw(r, "running"),
					Queued: rapid.IntRange(0, 300).Draw(r, "queued"), Preempted: rapid.Uint64Range(0, 9).Draw(r, "preempted"), KVUse: rapid.Float64Range(0, 1).Draw(r, "kv"), Machine: rapid.Float64Range(0, 4).Draw(r, "machine")}, now)
			case 1:
				why = c.OutOfMemory(now)
			case 2:
				why = c.Refused(rapid.IntRange(-1, 300).Draw(r, "refused"), now.Add(-time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(r, "came"))), now)
			default:
				held := time.Duration(rapid.Int64Range(-1, int64(time.Minute)).Draw(r, "held"))
				n := float64(before) * rapid.Float64Range(0, 2).Draw(r, "beside")
				for range rapid.IntRange(1, 20).Draw(r, "alike") {
					sample := beside(held, n, n, rapid.IntRange(-1, 9999).Draw(r, "completion"))
					sample.Prompt, sample.Pieces = rapid.IntRange(-1, 9999).Draw(r, "prompt"), rapid.IntRange(0, 9999).Draw(r, "pieces")
					why = c.Ended(sample, now)
					if why != slots.Unchanged {
						break
					}
				}
			}
			if n := c.Limit(); n < 1 || n > max(top, 1) {
				r.Fatalf("a limit of %d, of %d", n, top)
			}
			if (why == slots.Unchanged) != (c.Limit() == before) {
				r.Fatalf("%d after %d, because of %q", c.Limit(), before, why)
			}
		}
	})
}

// TestItFindsWhereTheEngineSaturates, be it that throughput stays the same beyond, or falls.
func TestItFindsWhereTheEngineSaturates(t *testing.T) {
	steadily(t, func(r *rapid.T) {
		n := rapid.IntRange(1, ceiling).Draw(r, "n")
		rate, least := trial.Saturating(n, each), 0.88
		if n > ceiling/8 && rapid.Bool().Draw(r, "collapses") { // else next to nothing is served until it is found
			rate, least = trial.Collapsing(n, each), 0.8 // and the next numbers that are tried have a tenth less
		}
		s := pressed(rate, n, 6000, rapid.Uint64().Draw(r, "seed"))
		s.Noise = rapid.Float64Range(0, 0.3).Draw(r, "noise")
		got := trial.Run(s)
		if whole := each * float64(n); got.Goodput < least*whole {
			r.Errorf("%.0f tokens/s of %.0f, with %.1f at a time of %d: %d to %d, %d moves", got.Goodput, whole, got.Limit, n, got.Low, got.High, got.Moves)
		}
		if got.Limit > 2*float64(n)+8 {
			r.Errorf("%.1f at a time where %d are enough: %d to %d", got.Limit, n, got.Low, got.High)
		}
		if got.Moves > 200 { // of 12,000 requests, on the way there included
			r.Errorf("%d moves", got.Moves)
		}
	})
}

// TestItFollowsTheEngine: when it serves more at a time, or fewer, as much as it can is served.
func TestItFollowsTheEngine(t *testing.T) {
	steadily(t, func(r *rapid.T) {
		before, after := rapid.IntRange(8, ceiling).Draw(r, "before"), rapid.IntRange(8, ceiling).Draw(r, "after")
		const slow = each / 6
		s := pressed(nil, min(before, after), 1000, rapid.Uint64().Draw(r, "seed"))
		s.Counts = max(s.Counts, 80*time.Minute)
		s.Lasts = 3 * s.Counts / 2
		s.Rate = trial.Then(trial.Saturating(before, slow), s.Counts/2, trial.Saturating(after, slow))
		if got := trial.Run(s); got.Goodput < 0.6*slow*float64(after) {
			r.Errorf("%d after %d: %.0f tokens/s of %.0f, with %.1f at a time: %d to %d", after, before, got.Goodput, slow*float64(after), got.Limit, got.Low, got.High)
		}
	})
}

// TestLittleDemandTakesNothingAway: where the engine serves each as fast as alone, it stays.
func TestLittleDemandTakesNothingAway(t *testing.T) {
	steadily(t, func(r *rapid.T) {
		s := pressed(trial.Saturating(ceiling, each), 1, 500, rapid.Uint64().Draw(r, "seed"))
		s.Clients, s.PerHour = 0, rapid.Float64Range(0.02, 0.5).Draw(r, "load")*ceiling*each/s.Tokens*3600
		if got := trial.Run(s); got.Last < ceiling*3/4 {
			r.Errorf("%d of %d are left after %d moves", got.Last, ceiling, got.Moves)
		}
	})
}

// TestItFindsWhereFewerComeThanCanBeServed, by the times at which more or fewer happened to be there.
func TestItFindsWhereFewerComeThanCanBeServed(t *testing.T) {
	steadily(t, func(r *rapid.T) {
		n := rapid.IntRange(1, ceiling/4).Draw(r, "n")
		s := pressed(trial.Saturating(n, each), n, 10_000, rapid.Uint64().Draw(r, "seed"))
		s.Clients, s.PerHour, s.Bursts = 0, 0.9*float64(n)*each/s.Tokens*3600, rapid.Bool().Draw(r, "bursts")
		if s.Bursts {
			s.PerHour *= 2.0 / 3
		}
		if got := trial.Run(s); got.Limit > 2.5*float64(n)+3 {
			r.Errorf("%.1f at a time where %d are enough: %d to %d, %d moves", got.Limit, n, got.Low, got.High, got.Moves)
		}
	})
}

// TestItFollowsFarGateways: places to which somebody is on the way are taken, not empty.
func TestItFollowsFarGateways(t *testing.T) {
	for _, way := range []time.Duration{100 * time.Millisecond, time.Second, 3 * time.Second} {
		s := pressed(nil, 8, 10_000, 1)
		s.Way = way
		s.Rate = trial.Then(trial.Saturating(4, each), s.Counts/2, trial.Saturating(ceiling, each)) // so that it is lowered at first
		alone := s.Tokens / each
		if got := trial.Run(s); got.Goodput < 0.85*ceiling*each*alone/(alone+s.Way.Seconds()) {
			t.Errorf("%v away: %.0f tokens/s, with %.1f at a time: %d to %d", way, got.Goodput, got.Limit, got.Low, got.High)
		}
	}
}

// TestAQueueInsideIsSeenAtOnce where the engine tells of it.
func TestAQueueInsideIsSeenAtOnce(t *testing.T) {
	s := trial.Setting{Rate: trial.Saturating(8, each), Inside: 8, Told: true, Ceiling: ceiling, Clients: 2 * ceiling, Tokens: 100, Noise: 0.2, Counts: 2 * time.Minute, Lasts: 10 * time.Minute, Seed: 1}
	if got := trial.Run(s); got.Limit > 12 || got.Goodput < 0.95*8*each {
		t.Errorf("%.1f at a time, %.0f tokens/s: %d to %d", got.Limit, got.Goodput, got.Low, got.High)
	}
}

// TestShortRequestsAreLetIn: where they wait does not matter.
func TestShortRequestsAreLetIn(t *testing.T) {
	s := trial.Setting{Rate: trial.Saturating(4, 100*each), Ceiling: ceiling, Clients: 2 * ceiling, Tokens: 30, Noise: 0.2, Counts: time.Minute, Lasts: 3 * time.Minute, Seed: 1}
	if got := trial.Run(s); got.Moves != 0 {
		t.Errorf("%d moves: %d to %d", got.Moves, got.Low, got.High)
	}
}

// busy has an engine of the ceiling with so many requests, which tells of itself as often as asked for.
func busy(leases int) (c *slots.Controller, look func(slots.Told, int) slots.Reason, now *time.Time) {
	c, at := &slots.Controller{}, time.Unix(1_000_000, 0)
	c.Ceiling(ceiling)
	return c, func(told slots.Told, times int) (why slots.Reason) {
		told.Leases = leases
		for range times {
			at = at.Add(time.Second)
			if w := c.Look(told, at); w != slots.Unchanged {
				why = w
			}
		}
		return why
	}, &at
}

// TestMemoryTakesPlacesAway: what an engine had when it ran out of memory, or nearly, is too much; for long
// it does not grow again, and the longer the more often.
func TestMemoryTakesPlacesAway(t *testing.T) {
	c, look, _ := busy(20)
	if why := look(slots.Told{Known: true, KVUse: 0.99}, 2); why != slots.Unchanged {
		t.Errorf("%s after two looks", why)
	}
	if why := look(slots.Told{Known: true, KVUse: 0.99}, 1); why != slots.Memory || c.Limit() >= 20 {
		t.Errorf("%q: %d places where twenty fill the cache", why, c.Limit())
	}
	c, look, now := busy(10)
	look(slots.Told{}, 1)
	if why := c.OutOfMemory(*now); why != slots.Memory || c.Limit() >= 10 {
		t.Fatalf("%q: %d places after ten were too many", why, c.Limit())
	}
	before := c.Limit()
	serve := func(minutes int) {
		for range minutes * 60 {
			*now = now.Add(time.Second)
			n := float64(c.Limit())
			c.Ended(beside(time.Second, n, n, 30), *now)
		}
	}
	serve(9)
	if c.Limit() > before {
		t.Errorf("%d places nine minutes after", c.Limit())
	}
	serve(30)
	if c.Limit() <= before {
		t.Errorf("%d places forty minutes after", c.Limit())
	}
	idle, _, then := busy(0)
	if why := idle.OutOfMemory(*then); why != slots.Unchanged || idle.Limit() != ceiling {
		t.Errorf("%q: %d places, of one that had nothing to do", why, idle.Limit())
	}
}

// TestABusyMachineTakesPlacesAway where the engine has become slow, not otherwise.
func TestABusyMachineTakesPlacesAway(t *testing.T) {
	for _, machine := range []float64{0.5, 3} {
		c, look, now := busy(ceiling)
		serve := func(requests int, takes time.Duration) (why slots.Reason) {
			for i := range requests {
				*now = now.Add(50 * time.Millisecond)
				if i%20 == 0 {
					look(slots.Told{Machine: machine}, 1)
				}
				n := float64(c.Limit())
				if w := c.Ended(beside(time.Duration(n)*takes, n, n, 30), *now); w == slots.Machine {
					why = w
				}
			}
			return why
		}
		if why := serve(600, 20*time.Millisecond); why != slots.Unchanged {
			t.Errorf("%q at %v tasks for each processor, though it is as fast as ever", why, machine)
		}
		why := serve(1200, 60*time.Millisecond)
		if (why == slots.Machine) != (machine > 1) {
			t.Errorf("%q at %v tasks for each processor, and slow", why, machine)
		}
	}
}
