package trial

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/lotabots/lotabots/actors/slots"
)

// A Setting is what is simulated.
type Setting struct {
	// Rate is the tokens per second that the engine writes for n requests together, at a time.
	Rate func(n int, at time.Duration) float64
	// Inside is how many the engine works on; others that are let in wait inside. 0: all.
	Inside int
	// Told: the engine tells how many it works on, and how many wait inside.
	Told    bool
	Counted bool    // it tells how many tokens it has written
	Streams float64 // part of the answers that are seen as they come
	Ceiling int
	Fixed   int           // limit; 0: it is found
	Clients int           // that ask again as soon as they are answered; 0: requests come by themselves
	PerHour float64       // requests that come by themselves, a third of them at first
	Ramp    time.Duration // after which all do
	Bursts  bool          // they come in bursts: for half a minute of every two thrice as many as else
	Way     time.Duration // from when a place is given until its request is there, for which it is taken and empty
	Tokens  float64       // of an answer, on average
	Noise   float64       // of what a request costs beside its tokens: standard deviation of its logarithm
	Counts  time.Duration // from when on results count
	Lasts   time.Duration
	Seed    uint64
}

// A Result is what a run brought.
type Result struct {
	Goodput float64         // tokens per second
	Took    []time.Duration // by the requests that counted, in order of length: waiting included
	Moves   int             // changes of the limit
	Limit   float64         // on average
	Last    int             // limit at the end
	Low     int
	High    int // limits since results counted
}

// P is the part of the requests that took no longer.
func (r *Result) P(part float64) time.Duration {
	if len(r.Took) == 0 {
		return 0
	}
	return r.Took[min(int(part*float64(len(r.Took))), len(r.Took)-1)]
}

// A request is on its way. Its end is in the engine's own time, in which each request that is
// worked on gets a token a second.
type request struct {
	came   time.Duration
	let    time.Duration
	since  slots.Passed
	tokens float64
	cost   float64
	end    float64
	stream bool
}

type world struct {
	Setting
	random  *rand.Rand
	control slots.Controller
	now     time.Duration
	own     float64 // engine's own time
	crowd   slots.Crowd
	passed  slots.Passed
	flow    [2]float64 // tokens of all that are worked on, and of streams, for each of the engine's own seconds
	written [2]float64
	streams int
	waiting []*request
	coming  []*request // to their places
	inside  []*request // let in, and not worked on yet
	working []*request // by their ends
	next    time.Duration
	looks   time.Duration
	out     Result
}

var epoch = time.Unix(1_000_000, 0)

const never = time.Duration(math.MaxInt64)

// Run simulates once.
func Run(s Setting) Result {
	w := &world{Setting: s, random: rand.New(rand.NewPCG(s.Seed, 7)), next: never, looks: time.Second}
	w.control.Ceiling(s.Ceiling)
	w.passed = w.crowd.Pass(0, 0, 0, epoch)
	w.out.Low, w.out.High = w.limit(), w.limit()
	for range s.Clients {
		w.come()
	}
	if s.PerHour > 0 {
		w.next = w.gap()
	}
	for w.now < s.Lasts {
		w.step()
	}
	w.out.Goodput /= (w.now - s.Counts).Seconds()
	w.out.Limit /= (w.now - s.Counts).Seconds()
	w.out.Last = w.limit()
	slices.Sort(w.out.Took)
	return w.out
}

func (w *world) limit() int {
	if w.Fixed > 0 {
		return w.Fixed
	}
	return w.control.Limit()
}

func (w *world) gap() time.Duration {
	rate := w.PerHour
	if w.now < w.Ramp {
		rate *= (1 + 2*w.now.Seconds()/w.Ramp.Seconds()) / 3
	}
	if w.Bursts {
		const every, lasts = 2 * time.Minute, 30 * time.Second
		if rate *= 2.0 / 3; w.now%every < lasts { // the mean stays
			rate *= 3
		}
	}
	return w.now + time.Duration(w.random.ExpFloat64()/rate*float64(time.Hour))
}

func (w *world) come() {
	tokens := math.Ceil(w.Tokens * (0.25 + 1.5*w.random.Float64()))
	w.waiting = append(w.waiting, &request{came: w.now, stream: w.Streams >= 1 || w.Streams > 0 && w.random.Float64() < w.Streams, tokens: tokens, cost: tokens * math.Exp(w.Noise*w.random.NormFloat64()-w.Noise*w.Noise/2)})
	w.let()
}

// let lets requests in, and has the engine take them up.
func (w *world) let() {
	for len(w.waiting) > 0 && w.taken() < w.limit() {
		r := w.waiting[0]
		w.waiting = w.waiting[1:]
		r.let = w.now + w.Way
		w.coming = append(w.coming, r)
	}
	for len(w.coming) > 0 && w.coming[0].let <= w.now {
		r := w.coming[0]
		w.coming = w.coming[1:]
		r.since = w.passed
		if r.stream {
			w.streams++
		}
		w.inside = append(w.inside, r)
	}
	for len(w.inside) > 0 && (w.Inside == 0 || len(w.working) < w.Inside) {
		r := w.inside[0]
		w.inside = w.inside[1:]
		r.end = w.own + r.cost
		w.flows(r, 1)
		at, _ := slices.BinarySearchFunc(w.working, r.end, func(o *request, end float64) int {
			if o.end < end {
				return -1
			}
			return 1
		})
		w.working = slices.Insert(w.working, at, r)
	}
}

// there is the number of requests that the engine has.
func (w *world) there() int { return len(w.working) + len(w.inside) }

func (w *world) taken() int { return w.there() + len(w.coming) }

// step goes on to what happens next.
func (w *world) step() {
	each := 0.0 // tokens per second
	to := min(w.next, w.looks)
	if len(w.coming) > 0 {
		to = min(to, w.coming[0].let)
	}
	if n := len(w.working); n > 0 {
		each = w.Rate(n, w.now) / float64(n)
		to = min(to, w.now+time.Duration(math.Ceil((w.working[0].end-w.own)/each*float64(time.Second))))
	}
	took := (to - w.now).Seconds()
	w.own += each * took
	for i, f := range w.flow {
		w.written[i] += f * each * took
	}
	w.passed = w.crowd.Pass(w.there(), w.streams, w.taken(), epoch.Add(to))
	if w.now >= w.Counts {
		w.out.Limit += float64(w.limit()) * took
	}
	w.now = to
	switch {
	case len(w.working) > 0 && w.working[0].end <= w.own+1e-9:
		w.end()
	case w.now == w.next:
		w.next = w.gap()
		w.come()
	case w.now == w.looks:
		w.looks += time.Second
		t := slots.Told{Known: w.Told, Leases: w.there(), Running: len(w.working), Queued: len(w.inside), Pieces: uint64(w.written[1]), Passed: w.passed}
		if w.Counted {
			t.Tokens = uint64(w.written[0])
		}
		w.heard(w.control.Look(t, epoch.Add(w.now)))
	}
	w.let()
}

func (w *world) end() {
	r := w.working[0]
	w.working = w.working[1:]
	if w.now >= w.Counts {
		w.out.Goodput += r.tokens
		w.out.Took = append(w.out.Took, w.now-r.came)
	}
	w.flows(r, -1)
	sample := slots.Sample{Passed: w.passed.Since(r.since), Completion: int(r.tokens)}
	if r.stream {
		w.streams--
		sample.Pieces = int(r.tokens)
	}
	w.heard(w.control.Ended(sample, epoch.Add(w.now)))
	if w.Clients > 0 {
		w.come()
	}
}

// flows has what a request is given count, or not any more.
func (w *world) flows(r *request, by float64) {
	f := by * r.tokens / r.cost
	w.flow[0] += f
	if r.stream {
		w.flow[1] += f
	}
}

func (w *world) heard(why slots.Reason) {
	if w.now < w.Counts {
		w.out.Low, w.out.High = w.limit(), w.limit()
	}
	if why == slots.Unchanged {
		return
	}
	w.out.Moves++
	w.out.Low, w.out.High = min(w.out.Low, w.limit()), max(w.out.High, w.limit())
}
