package strain

import (
	"math"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/gateway/fair"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A load is a gateway that can serve capacity requests a second: beyond that, who comes waits.
type load struct {
	capacity float64
	backlog  float64 // requests
	pace     Pace
	shares   [fair.Bands]float64
}

func newLoad(capacity float64) *load {
	return &load{capacity: capacity, shares: [fair.Bands]float64{1, 1, 1, 1}}
}

// step has offered requests a second come for an interval and returns who was taken.
func (l *load) step(offered [fair.Bands]float64) (taken [fair.Bands]float64) {
	s := Sample{For: every}
	for i := range offered {
		taken[i] = offered[i] * l.shares[i]
		s.Came[i] = int(math.Round(offered[i] * every.Seconds()))
		s.Taken[i] = int(math.Round(taken[i] * every.Seconds()))
		l.backlog += taken[i] * every.Seconds()
	}
	served := min(l.backlog, l.capacity*every.Seconds())
	l.backlog -= served
	s.CPU = served / (l.capacity * every.Seconds())
	s.Latency = time.Duration(l.backlog / l.capacity * float64(time.Second))
	l.shares = l.pace.Step(s)
	return taken
}

func sum(of [fair.Bands]float64) (all float64) {
	for _, v := range of {
		all += v
	}
	return all
}

// TestThreeTimesTheLoad: what is served stays at the capacity, who is highest is not
// refused, and all are taken soon after.
func TestThreeTimesTheLoad(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		capacity := rapid.Float64Range(2000, 50_000).Draw(t, "capacity")
		top := rapid.Float64Range(0.05, 0.5).Draw(t, "top")
		l := newLoad(capacity)
		usual := [fair.Bands]float64{0.3 * capacity, 0.4 * capacity, 0, top * 0.5 * capacity}
		for range 50 {
			if got := l.step(usual); sum(got) < sum(usual) {
				t.Fatal("requests are refused without need")
			}
		}
		over := [fair.Bands]float64{capacity, (2 - top) * capacity, 0, top * capacity}
		done, topRefused := 0.0, 0.0
		for i := range 200 {
			before := l.backlog
			got := l.step(over)
			if i >= 30 {
				done += before + sum(got)*every.Seconds() - l.backlog
			}
			topRefused += over[3] - got[3]
		}
		if share := done / (170 * every.Seconds() * capacity); share < 0.95 {
			t.Errorf("under overload %.3f of the capacity is used", share)
		}
		if l.backlog > capacity {
			t.Errorf("%.0f wait, more than a second's", l.backlog)
		}
		if topRefused > 0 {
			t.Errorf("%.0f of the highest are refused", topRefused)
		}
		for range 100 {
			l.step(usual)
		}
		if got := l.step(usual); sum(got) < sum(usual) || l.pace.limit != 0 {
			t.Errorf("10 s after the overload %v of %v are taken, under a limit of %v", got, usual, l.pace.limit)
		}
	})
}

func TestLittleIsNeverRefused(t *testing.T) {
	var p Pace
	few := [fair.Bands]int{2, 3, 0, 1}
	for range 1000 {
		shares := p.Step(Sample{For: every, Latency: time.Second, CPU: 1, Came: few, Taken: few})
		for i, n := range few {
			if n > 0 && shares[i] < 1 {
				t.Fatalf("shares %v of %d requests a second", shares, 60)
			}
		}
	}
}

func TestWatch(t *testing.T) {
	w, stop, ended := &Watch{}, make(chan struct{}), make(chan struct{})
	go func() { w.Run(stop); close(ended) }()
	for range 1000 {
		if !w.Admit(fair.Low) {
			t.Fatal("refused without need")
		}
	}
	for end := time.Now().Add(30 * time.Second); w.State().CPU == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no sample was taken")
		}
	}
	close(stop)
	<-ended
	w.Take([fair.Bands]float64{0, 0.5, 1, 1})
	taken := [fair.Bands]int{}
	for range 10_000 {
		for i, p := range fair.Priorities() {
			if w.Admit(p) {
				taken[i]++
			}
		}
	}
	if taken[0] > 10 || taken[1] < 4500 || taken[1] > 5500 || taken[2] != 10_000 || taken[3] != 10_000 {
		t.Errorf("taken %v of 10,000 each", taken)
	}
	if s := w.State(); s.Refused[3] != 0 || s.Refused[1] != uint64(10_000-taken[1]) {
		t.Errorf("%+v", s)
	}
	if a, b := w.RetryAfter(fair.Low), w.RetryAfter(fair.High); a != 10*time.Second || b != time.Second {
		t.Errorf("to come again after %v and %v", a, b)
	}
}

func TestNinth(t *testing.T) {
	inf := math.Inf(1)
	buckets := []float64{0, 0.001, 0.01, 0.1, inf}
	for _, c := range []struct {
		counts []uint64
		want   time.Duration
	}{
		{[]uint64{90, 10, 0, 0}, time.Millisecond}, {[]uint64{89, 11, 0, 0}, 10 * time.Millisecond}, {[]uint64{0, 0, 0, 5}, 100 * time.Millisecond},
	} {
		if got := ninth(c.counts, buckets, c.counts[0]+c.counts[1]+c.counts[2]+c.counts[3]); got != c.want {
			t.Errorf("%v: %v, want %v", c.counts, got, c.want)
		}
	}
}

func BenchmarkAdmit(b *testing.B) {
	w := &Watch{}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			w.Admit(fair.Normal)
		}
	})
}

func BenchmarkSample(b *testing.B) {
	r := newReader()
	b.ReportAllocs()
	for b.Loop() {
		r.read(time.Now())
	}
}
