package gpu

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/actors/memory"
)

var (
	evictionHours = flag.Int("eviction-hours", 0, "play traces of so many hours and print what evictions cost; 0: a short one")
	evictionRate  = flag.Float64("eviction-rate", 0.5, "requests per second of the traces")
)

// A chooser makes the choice of one device for what it will be asked.
type chooser func([]request) evict

// choosers are the rule in use and what it is compared with. A clairvoyant's
// choice of one moment need not be the best in the long run, so there are several:
// the best of them is the bound.
var choosers = map[string]chooser{
	"ours":                     func([]request) evict { return memory.Evict },
	"lru":                      func([]request) evict { return lru },
	"belady by time":           belady(false, byTime),
	"belady by cost":           belady(false, byCost),
	"belady by cost and bytes": belady(false, byBytes),
	"belady by time, hasty":    belady(true, byTime),
	"belady by cost, hasty":    belady(true, byCost),
}

func belady(hasty bool, cost func(memory.Candidate, time.Duration) float64) chooser {
	return func(r []request) evict { return clairvoyant(r, hasty, cost) }
}

func byTime(_ memory.Candidate, until time.Duration) float64 { return 1 / until.Seconds() }
func byCost(c memory.Candidate, until time.Duration) float64 { return c.Reload / until.Seconds() }
func byBytes(c memory.Candidate, until time.Duration) float64 {
	return byCost(c, until) / float64(c.Bytes)
}

func playAll(t testing.TB, tr *trace, choose chooser) (sum tally) {
	for dev, requests := range tr.devices {
		var here []traced
		for _, m := range tr.models {
			if slices.Contains(m.homes, dev) {
				here = append(here, m)
			}
		}
		o := simulate(t, here, requests, choose(requests))
		if len(o.waits) != len(requests) {
			t.Fatalf("%d of %d requests were answered", len(o.waits), len(requests))
		}
		sum.loads, sum.loading, sum.left = sum.loads+o.loads, sum.loading+o.loading, sum.left+o.left
		sum.waits = append(sum.waits, o.waits...)
	}
	slices.Sort(sum.waits)
	return sum
}

func (o tally) wait(q float64) float64 { return o.waits[int(q*float64(len(o.waits)-1))] }

func (o tally) mean() (s float64) {
	for _, w := range o.waits {
		s += w
	}
	return s / float64(len(o.waits))
}

// What evictions cost with the rule in use, next to the least recently used and to
// who knows the future, through the table that the actor of a device runs. By
// default a short trace, which must show it no worse than least recently used.
func TestEvictionTrace(t *testing.T) {
	length, seeds := 45*time.Minute, uint64(1)
	if *evictionHours > 0 {
		length, seeds = time.Duration(*evictionHours)*time.Hour, 3
	}
	total := map[string]tally{}
	for seed := range seeds {
		tr := newTrace(seed+1, length, *evictionRate)
		for name, choose := range choosers {
			o, sum := playAll(t, tr, choose), total[name]
			sum.loads, sum.loading, sum.left = sum.loads+o.loads, sum.loading+o.loading, sum.left+o.left
			sum.waits = append(sum.waits, o.waits...)
			total[name] = sum
		}
	}
	for _, name := range slices.Sorted(maps.Keys(total)) {
		o := total[name]
		slices.Sort(o.waits)
		total[name] = o
		t.Logf("%-24s %5d loads, %6.0f s loading, wait mean %.2f p50 %.2f p95 %.1f p99 %.1f s, %d of %d gave up",
			name, o.loads, o.loading.Seconds(), o.mean(), o.wait(.5), o.wait(.95), o.wait(.99), o.left, len(o.waits))
	}
	ours, old := total["ours"], total["lru"]
	if *evictionHours > 0 {
		figures(total, length*traceGPUs*time.Duration(seeds))
	}
	if ours.loading > old.loading*21/20 {
		t.Errorf("%v of loading, %v with the least recently used", ours.loading, old.loading)
	}
}

// figures prints what the evictions of so much time of a GPU cost.
func figures(total map[string]tally, of time.Duration) {
	loading := func(o tally) float64 { return o.loading.Seconds() }
	p99 := func(o tally) float64 { return o.wait(.99) }
	least := func(of func(tally) float64) float64 {
		best := 0.0
		for name, o := range total {
			if strings.HasPrefix(name, "belady") && (best == 0 || of(o) < best) {
				best = of(o)
			}
		}
		return best
	}
	ours, old := total["ours"], total["lru"]
	for _, f := range []struct {
		name  string
		value float64
		unit  string
		goal  float64 // at most; 0: none
	}{
		{"eviction_loading", loading(ours) / of.Seconds(), "s per s of a GPU", 0},
		{"eviction_loading_over_belady", loading(ours) / least(loading), "x", 1.15},
		{"eviction_loading_over_lru", loading(ours) / loading(old), "x", 1},
		{"eviction_wait_p99", p99(ours), "s", 0},
		{"eviction_wait_p99_over_belady", p99(ours) / least(p99), "x", 1.1},
		{"eviction_wait_p99_over_lru", p99(ours) / p99(old), "x", 1.01},
	} {
		line := fmt.Sprintf("figure: %s %.3f %s", f.name, f.value, f.unit)
		if f.goal > 0 {
			line += fmt.Sprintf(" goal <= %g", f.goal)
		}
		if f.goal > 0 && f.value > f.goal {
			line += " (missed)"
		}
		fmt.Println(line)
	}
}
