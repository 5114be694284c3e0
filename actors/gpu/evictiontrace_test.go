package gpu

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// A mixed trace, from a seed: twelve models on a node of eight GPUs, each at home
// on three of them, asked for as Zipf has it with ranks that change, in bursts, and
// in conversations that come back to where they began.
type trace struct {
	models  []traced
	devices [][]request // by device, in the order of time
}

type traced struct {
	id    string
	bytes uint64
	load  time.Duration
	homes []int
}

type request struct {
	model   string
	at      time.Duration // since the beginning
	service time.Duration
}

const (
	traceGPUs   = 8
	traceHomes  = 3
	traceMemory = 80 << 30
	traceSlots  = 8
)

// sizes in GB, of models from 4 to 70 billion parameters with their caches.
var traceSizes = []int{8, 8, 14, 14, 16, 24, 24, 30, 38, 40, 48, 60}

func newTrace(seed uint64, length time.Duration, perSecond float64) *trace {
	rng := rand.New(rand.NewPCG(seed, 5))
	tr := &trace{devices: make([][]request, traceGPUs)}
	for i, gb := range traceSizes {
		m := traced{id: fmt.Sprintf("m%02d", i), bytes: uint64(gb) << 30, load: 2*time.Second + time.Duration(gb)*400*time.Millisecond}
		for k := range traceHomes {
			m.homes = append(m.homes, (i*3+k*(1+i%3)*2+k)%traceGPUs)
		}
		slices.Sort(m.homes)
		m.homes = slices.Compact(m.homes)
		tr.models = append(tr.models, m)
	}
	tr.zipf(rng, length, perSecond*0.4)
	tr.bursts(rng, length, perSecond*0.2)
	tr.conversations(rng, length, perSecond*0.4)
	for _, d := range tr.devices {
		slices.SortStableFunc(d, func(a, b request) int { return cmp.Compare(a.at, b.at) })
	}
	return tr
}

func (tr *trace) add(rng *rand.Rand, model, home int, at time.Duration) {
	m := tr.models[model]
	service := time.Duration(4 * math.Exp(0.8*rng.NormFloat64()-0.32) * float64(time.Second))
	dev := m.homes[home%len(m.homes)]
	tr.devices[dev] = append(tr.devices[dev], request{m.id, at, service})
}

// rank draws one of n by Zipf's law.
func rank(rng *rand.Rand, n int) int {
	sum := 0.0
	for i := range n {
		sum += 1 / float64(i+1)
	}
	x := rng.Float64() * sum
	for i := range n {
		if x -= 1 / float64(i+1); x < 0 {
			return i
		}
	}
	return n - 1
}

func after(rng *rand.Rand, rate float64) time.Duration {
	return time.Duration(rng.ExpFloat64() / rate * float64(time.Second))
}

// zipf asks at random; who is popular changes every half an hour.
func (tr *trace) zipf(rng *rand.Rand, length time.Duration, rate float64) {
	order := rng.Perm(len(tr.models))
	next := 30 * time.Minute
	for at := after(rng, rate); at < length; at += after(rng, rate) {
		if at > next {
			order, next = rng.Perm(len(tr.models)), next+30*time.Minute
		}
		tr.add(rng, order[rank(rng, len(order))], rng.IntN(traceHomes), at)
	}
}

// bursts ask one model many times within a minute or two: a batch job, say.
func (tr *trace) bursts(rng *rand.Rand, length time.Duration, rate float64) {
	const size = 60
	for at := after(rng, rate/size); at < length; at += after(rng, rate/size) {
		model, pace := rng.IntN(len(tr.models)), 0.5+rng.Float64()
		for t, n := at, 0; n < size && t < length; t, n = t+after(rng, pace), n+1 {
			tr.add(rng, model, rng.IntN(traceHomes), t)
		}
	}
}

// conversations have some turns, a reader's pause apart, on one device.
func (tr *trace) conversations(rng *rand.Rand, length time.Duration, rate float64) {
	const turns = 6
	order := rng.Perm(len(tr.models))
	for at := after(rng, rate/turns); at < length; at += after(rng, rate/turns) {
		model, home := order[rank(rng, len(order))], rng.IntN(traceHomes)
		for t := at; t < length; t += 5*time.Second + time.Duration(35*math.Exp(0.7*rng.NormFloat64()-0.25)*float64(time.Second)) {
			tr.add(rng, model, home, t)
			if rng.Float64() < 1.0/turns {
				break
			}
		}
	}
}
