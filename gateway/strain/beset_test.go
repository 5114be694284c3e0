package strain

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/gateway/fair"
)

// others are what has goroutines wait, but no requests: they use the processors, more or less of
// them by turns.
type others struct {
	random  *rand.Rand
	latency time.Duration
}

func (o *others) step() (latency time.Duration, cpu float64) {
	most := dying - time.Millisecond
	o.latency += time.Duration(o.random.Float64()*float64(time.Second)) - 450*time.Millisecond
	o.latency = min(max(o.latency, 0), most)
	return o.latency, o.random.Float64()
}

// come is how many of rate requests a second come in an interval, at random.
func come(random *rand.Rand, rate float64) int {
	mean := rate * every.Seconds()
	return max(0, int(math.Round(mean+random.NormFloat64()*math.Sqrt(mean))))
}

// TestOthersUseTheProcessors: requests that come as they did before are not refused for a load that
// they are not, also where fewer come meanwhile, as clients wait for answers before they ask again.
func TestOthersUseTheProcessors(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		rate := rapid.Float64Range(400, 20_000).Draw(t, "rate")
		slower := rapid.Float64Range(0.2, 1).Draw(t, "slower") // clients that wait come less often
		known := rapid.IntRange(20, 300).Draw(t, "known")      // intervals
		p, o := Pace{}, others{random: random}
		for range known {
			n := [fair.Bands]int{0, come(random, rate), 0, 0}
			p.Step(Sample{For: every, Latency: 5 * time.Millisecond, CPU: 0.5, Came: n, Taken: n})
		}
		for i := range 300 {
			latency, cpu := o.step()
			now := rate
			if i/50%2 == 0 {
				now *= slower
			}
			n := [fair.Bands]int{0, come(random, now), 0, 0}
			if shares := p.Step(Sample{For: every, Latency: latency, CPU: cpu, Came: n, Taken: n}); shares[1] < 1 {
				t.Fatalf("interval %d: %.2f of %.0f requests a second are taken, of which %.0f were good, at a latency of %v", i, shares[1], now, p.good, latency)
			}
		}
	})
}

// TestMoreThanBeforeBesideOthers: where more come than before, as many are taken as were, or nearly.
func TestMoreThanBeforeBesideOthers(t *testing.T) {
	var p Pace
	before, more := [fair.Bands]int{0, 50, 0, 0}, [fair.Bands]int{0, 200, 0, 0}
	for range 100 {
		p.Step(Sample{For: every, CPU: 0.5, Came: before, Taken: before})
	}
	taken := more
	for i := range 300 {
		shares := p.Step(Sample{For: every, Latency: 500*time.Millisecond + time.Duration(i)*time.Millisecond, CPU: 1, Came: more, Taken: taken})
		taken[1] = int(math.Round(shares[1] * 200))
		if taken[1] < 33 { // 50, a tenth less, and what is forgotten in half a minute
			t.Fatalf("interval %d: %d of 200 are taken where 50 were no strain", i, taken[1])
		}
	}
	if taken[1] > 60 {
		t.Errorf("%d of 200 are taken under strain", taken[1])
	}
}

// TestLessCanBeDoneThanBefore: a gateway of whose processors others have taken half for good comes
// to serve as much as is left, although no more requests come than before.
func TestLessCanBeDoneThanBefore(t *testing.T) {
	l := newLoad(2000)
	usual := [fair.Bands]float64{0, 1800, 0, 0}
	for range 100 {
		l.step(usual)
	}
	l.capacity = 1000
	worst, late := 0.0, 0.0
	for i := range 1200 {
		l.step(usual)
		worst = max(worst, l.backlog/l.capacity)
		if i > 900 {
			late = max(late, l.backlog/l.capacity)
		}
	}
	if worst > 4 || late > 1 {
		t.Errorf("requests waited for %.1f s, and for %.1f s still after a minute and a half", worst, late)
	}
}

// TestSlightOverload: what is a little more than can be done may wait for a while, and is held back then.
func TestSlightOverload(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLoad(rapid.Float64Range(1000, 20_000).Draw(t, "capacity"))
		over := rapid.Float64Range(1.02, 1.3).Draw(t, "over")
		usual, more := [fair.Bands]float64{0, 0.95 * l.capacity, 0, 0}, [fair.Bands]float64{0, over * l.capacity, 0, 0}
		for range 100 {
			l.step(usual)
		}
		done, worst := 0.0, 0.0
		for range 1000 {
			before := l.backlog
			taken := l.step(more)
			done += before + sum(taken)*every.Seconds() - l.backlog
			worst = max(worst, l.backlog/l.capacity)
		}
		if share := done / (1000 * every.Seconds() * l.capacity); share < 0.95 || worst > 3 {
			t.Errorf("%.3f of the capacity is used, and requests waited for %.1f s", share, worst)
		}
	})
}

// TestFreshGatewayIsOverloaded: one that has not learnt yet what it can do holds back what is too much.
func TestFreshGatewayIsOverloaded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		capacity := rapid.Float64Range(1000, 50_000).Draw(t, "capacity")
		l := newLoad(capacity)
		over := [fair.Bands]float64{0, 2.5 * capacity, 0, 0.5 * capacity}
		done, refused := 0.0, 0.0
		for i := range 200 {
			before := l.backlog
			taken := l.step(over)
			if i >= 30 {
				done += before + sum(taken)*every.Seconds() - l.backlog
				refused += over[3] - taken[3]
			}
		}
		if share := done / (170 * every.Seconds() * capacity); share < 0.95 || l.backlog > capacity || refused > 0 {
			t.Errorf("%.3f of the capacity is used, %.0f wait, %.0f of the highest are refused", share, l.backlog, refused)
		}
	})
}

// TestFreshGatewayIsBeset: one on which others set at once serves few requests all the same, and as
// many as come once it could serve them for a second.
func TestFreshGatewayIsBeset(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	for _, c := range []struct{ rate, calm int }{{5, 0}, {30, 10}, {300, 15}} { // in an interval; intervals
		p, o := Pace{}, others{random: random}
		n := [fair.Bands]int{0, c.rate, 0, 0}
		for range c.calm {
			p.Step(Sample{For: every, CPU: 0.5, Came: n, Taken: n})
		}
		for i := range 300 {
			latency, _ := o.step()
			if shares := p.Step(Sample{For: every, Latency: latency, CPU: 1, Came: n, Taken: n}); shares[1] < 1 {
				t.Errorf("%d in an interval, %d intervals before: in the %d. %.2f are taken", c.rate, c.calm, i, shares[1])
				break
			}
		}
	}
}
