package relay

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestPace: who takes what comes at the least rate or faster is never out of patience, who is
// slower is after a time, and who takes nothing is after the first of it.
func TestPace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most, rate = 30 * time.Second, 1 << 10
		size := rapid.IntRange(1, maxWrite).Draw(t, "size")
		percent := rapid.SampledFrom([]int{10, 50, 100, 200, 1000}).Draw(t, "percent of the least rate")
		waits := max(noWait, time.Duration(float64(size)/float64(rate*percent)*100*float64(time.Second)))
		p, now := pace{patience: most}, time.Now()
		var set time.Duration
		for passed := time.Duration(0); passed < 10*most; passed += waits {
			if patience, due := p.due(now); due {
				set = patience
			}
			if waits > set { // the write fails
				if percent >= 100 && waits > noWait {
					t.Fatalf("cut off after %v", passed)
				}
				return
			}
			now = now.Add(waits)
			p.took(size, waits, most, rate)
		}
		if percent < 100 && waits > noWait {
			t.Fatal("was never cut off")
		}
	})
}

// TestPaceOfSlowEngines: a client that is never waited for keeps its patience.
func TestPaceOfSlowEngines(t *testing.T) {
	p := pace{patience: time.Second}
	for range 1000 {
		p.took(1, noWait/2, time.Second, 1<<10)
	}
	if p.patience != time.Second {
		t.Error(p.patience)
	}
}
