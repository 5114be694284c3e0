package strain

import (
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lotabots/lotabots/gateway/fair"
)

// every is how often the process is looked at.
const every = 100 * time.Millisecond

// slack is how late a sample is without anything being wrong.
const slack = 20 * time.Millisecond

// fewest is how many goroutines must have begun to run in an interval for their waits to count.
const fewest = 20

// A Watch decides which requests are taken. Run runs it; until then all are.
type Watch struct {
	bands  [fair.Bands]count
	limit  atomic.Uint64 // bits of requests a second; 0: none
	lately atomic.Int64  // ns: the last sample's latency
	cpu    atomic.Uint64 // bits of its share
}

type count struct {
	came, refused atomic.Uint64
	share         atomic.Uint32 // of 1<<32-1, less 1: all are taken where it is 0
	_             [40]byte      // so that bands do not share a line of the cache
}

// Admit tells whether a request is taken. It is called once for each.
func (w *Watch) Admit(p fair.Priority) bool {
	c := &w.bands[p.Band()]
	c.came.Add(1)
	short := c.share.Load() // what is missing to all
	if short == 0 || rand.Uint32() >= short {
		return true
	}
	c.refused.Add(1)
	return false
}

// RetryAfter is when to try again: the sooner, the more are taken.
func (w *Watch) RetryAfter(p fair.Priority) time.Duration {
	share := 1 - float64(w.bands[p.Band()].share.Load())/math.MaxUint32
	return time.Duration(min(max(1/max(share, 0.1), 1), 10) * float64(time.Second))
}

// Run looks at the process until stop is closed.
func (w *Watch) Run(stop <-chan struct{}) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	p, r := Pace{}, newReader()
	var came, refused [fair.Bands]uint64
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			now := time.Now() // not the tick's: how late this runs is of interest
			if now.Sub(r.at) < every/2 {
				continue // a tick that waited: in moments there are no rates
			}
			s := r.read(now)
			for i := range w.bands {
				c, d := w.bands[i].came.Load(), w.bands[i].refused.Load()
				s.Came[i] = int(c - came[i])
				s.Taken[i] = max(0, s.Came[i]-int(d-refused[i]))
				came[i], refused[i] = c, d
			}
			w.Take(p.Step(s))
			w.limit.Store(math.Float64bits(p.limit))
			w.lately.Store(int64(s.Latency))
			w.cpu.Store(math.Float64bits(s.CPU))
		}
	}
}

// Take has those shares of each band's requests taken, from 0 to 1, until Run looks again.
func (w *Watch) Take(shares [fair.Bands]float64) {
	for i, s := range shares {
		w.bands[i].share.Store(uint32((1 - s) * math.MaxUint32))
	}
}

// A State is what a Watch holds, for metrics.
type State struct {
	Limit   float64 // requests a second that are taken; 0: all
	Latency time.Duration
	CPU     float64
	Refused [fair.Bands]uint64
}

// State tells of the last interval, and who was refused so far.
func (w *Watch) State() State {
	s := State{Limit: math.Float64frombits(w.limit.Load()), Latency: time.Duration(w.lately.Load()), CPU: math.Float64frombits(w.cpu.Load())}
	for i := range w.bands {
		s.Refused[i] = w.bands[i].refused.Load()
	}
	return s
}

// A reader looks at the process. Its first sample is of the time since it was made.
type reader struct {
	samples []metrics.Sample
	counts  []uint64 // of the histogram, as last read
	cpu     time.Duration
	at      time.Time
}

func newReader() *reader {
	r := &reader{samples: []metrics.Sample{{Name: "/sched/latencies:seconds"}}, at: time.Now(), cpu: used()}
	r.latency()
	return r
}

func (r *reader) read(now time.Time) Sample {
	s := Sample{For: max(now.Sub(r.at), time.Millisecond)}
	s.Latency = max(r.latency(), s.For-every-slack)
	cpu := used()
	s.CPU = min(1, (cpu-r.cpu).Seconds()/s.For.Seconds()/float64(runtime.GOMAXPROCS(0)))
	r.cpu, r.at = cpu, now
	return s
}

// latency is what nine of ten goroutines that began to run since the last call had
// waited for, at most; 0: too few did to tell.
func (r *reader) latency() time.Duration {
	metrics.Read(r.samples)
	if r.samples[0].Value.Kind() != metrics.KindFloat64Histogram {
		return 0
	}
	h := r.samples[0].Value.Float64Histogram()
	if r.counts == nil {
		r.counts = make([]uint64, len(h.Counts))
	}
	total := uint64(0)
	for i, n := range h.Counts {
		r.counts[i], total = n-r.counts[i], total+n-r.counts[i]
	}
	out := time.Duration(0)
	if total >= fewest {
		out = ninth(r.counts, h.Buckets, total)
	}
	copy(r.counts, h.Counts)
	return out
}

// ninth is the upper end of the bucket in which the ninth of ten is.
func ninth(counts []uint64, buckets []float64, total uint64) time.Duration {
	seen := uint64(0)
	for i, n := range counts {
		if seen += n; 10*seen >= 9*total {
			end := buckets[i+1]
			if math.IsInf(end, 1) {
				end = buckets[i]
			}
			return time.Duration(end * float64(time.Second))
		}
	}
	return 0
}

// used is the time that the process has computed for so far.
func used() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
