package balance

import (
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func TestBreakerOpensAndCloses(t *testing.T) {
	var b breaker
	now := epoch
	for range failuresInRow - 1 {
		b.bad(now, false, true)
	}
	b.good(now, false)
	for range failuresInRow {
		if !b.lets(now) {
			t.Fatal("open although one has been answered in between")
		}
		b.bad(now, false, true)
	}
	for pause := leastPause; pause < 4*mostPause; pause *= 2 {
		open := min(pause, mostPause)
		if b.lets(now.Add(open-1)) || b.state(now.Add(open-1)) != BreakerOpen {
			t.Fatalf("lets somebody through %v after it opened", open-1)
		}
		now = now.Add(open)
		if !b.lets(now) || b.state(now) != BreakerHalfOpen || !b.sent() {
			t.Fatalf("no trial after %v", open)
		}
		if b.lets(now) {
			t.Fatal("two trials at a time")
		}
		b.bad(now, false, true) // of a request that was sent before
		b.bad(now, true, true)
	}
	now = now.Add(mostPause)
	b.sent()
	b.left()
	if !b.lets(now) {
		t.Fatal("a trial whose client left is the last one")
	}
	b.sent()
	b.good(now, true)
	if !b.lets(now) || b.state(now) != BreakerClosed || b.opened == 0 {
		t.Fatalf("%+v after a good trial", b)
	}
}

// TestBreakerByShare: an engine's own errors count by their share, and only among enough.
func TestBreakerByShare(t *testing.T) {
	for _, c := range []struct {
		bad, good int
		every     time.Duration
		open      bool
	}{
		{shareOf - 1, 0, 0, false},
		{shareOf, 0, 0, true},
		{shareOf, shareOf, 0, true},
		{shareOf, shareOf + 1, 0, false},
		{100, 0, 2 * shareWindow, false}, // never enough of them within the windows
	} {
		var b breaker
		now := epoch
		for range c.good {
			b.good(now, false)
		}
		for range c.bad {
			now = now.Add(c.every)
			b.bad(now, false, false)
		}
		if b.open != c.open {
			t.Errorf("%+v: open %v", c, b.open)
		}
	}
}

// TestBreakerProperties: whatever happens, at most one trial is under way, none is
// sent before its time, and the breaker never stays open for longer than mostPause.
func TestBreakerProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b breaker
		now, opened := epoch, epoch
		var out []bool // requests under way; true: a trial
		trials := func() (n int) {
			for _, p := range out {
				if p {
					n++
				}
			}
			return n
		}
		for range rapid.IntRange(0, 80).Draw(t, "steps") {
			was := b.open
			switch step := rapid.IntRange(0, 4).Draw(t, "step"); {
			case step == 0:
				now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond)
			case step == 1 && b.lets(now):
				out = append(out, b.sent())
			case len(out) > 0 && step > 1:
				i := rapid.IntRange(0, len(out)-1).Draw(t, "which")
				probe := out[i]
				out = append(out[:i], out[i+1:]...)
				switch {
				case step == 2:
					b.good(now, probe)
				case step == 3:
					b.bad(now, probe, rapid.Bool().Draw(t, "hard"))
				case probe:
					b.left()
				}
			}
			if b.open && !was {
				opened = now
			}
			if n := trials(); n > 1 || (n == 1) != b.probing {
				t.Fatalf("%d trials under way, %+v", n, b)
			}
			if b.open && b.until.Sub(now) > mostPause {
				t.Fatalf("open for %v more", b.until.Sub(now))
			}
			if b.open && b.lets(now) && now.Sub(opened) < leastPause {
				t.Fatalf("a trial %v after it opened", now.Sub(opened))
			}
		}
	})
}

// TestBreakerInTheTable: an instance that fails is left alone although its digests
// come, a request that waits tries it, and all others follow a good trial at once.
func TestBreakerInTheTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(Config{ReadyTimeout: 800 * time.Millisecond, DigestInterval: time.Minute})
		f.tell("a", "north", 4, 0)
		for range failuresInRow {
			f.must(t, ask()).Failed()
			f.tell("a", "north", 4, 0)
		}
		began := time.Now()
		_, err := f.Acquire(t.Context(), ask())
		if r := refusal(t, err, spec.CodeNotReady); r.RetryAfter != leastPause {
			t.Errorf("to come again after %v", r.RetryAfter)
		}
		if v := f.Views(); len(v) != 1 || v[0].Breaker != BreakerOpen || v[0].Opened != 1 {
			t.Errorf("views %+v", v)
		}
		trial := f.must(t, ask(func(q *Query) { q.Expected = true }))
		if time.Since(began) != leastPause {
			t.Errorf("tried after %v", time.Since(began))
		}
		second := make(chan *Grant)
		go func() { second <- f.must(t, ask(func(q *Query) { q.Expected = true })) }()
		synctest.Wait()
		if f.Waiting() != 1 {
			t.Errorf("%d wait for the trial", f.Waiting())
		}
		trial.Answered()
		(<-second).Release()
		trial.Release()
		if time.Since(began) != leastPause || f.Views()[0].Breaker != BreakerClosed {
			t.Errorf("served after %v, %+v", time.Since(began), f.Views())
		}
	})
}

// TestNewEngineNewBreaker: what comes up again is not what failed.
func TestNewEngineNewBreaker(t *testing.T) {
	f := newField(Config{})
	f.tell("a", "north", 4, 0)
	for range failuresInRow {
		f.must(t, ask()).Failed()
		f.tell("a", "north", 4, 0)
	}
	f.tell("a", "north", 4, 0, func(d *wire.DeviceLoad) { d.Instances[0].State = wire.InstanceState_INSTANCE_STATE_RESTARTING })
	f.tell("a", "north", 4, 0)
	f.must(t, ask()).Release()
}
