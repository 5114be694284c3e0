package main

import (
	"math"
	"math/rand/v2"
	"time"
)

// A request comes at a moment and holds a slot for a while.
type request struct {
	at, holds time.Duration
	waited    time.Duration
	refused   bool
}

// What requests are like.
const (
	meanHold = 8.0 // seconds
	sigma    = 0.8 // of the logarithm
)

// A trace is named and says how many requests come per second at a time.
type trace struct {
	name  string
	lasts time.Duration
	rate  func(at float64) float64
}

// traces are the ones that are run. Bursts come at random, the same for every seed of
// arrivals: each rises within a minute.
func traces() []trace {
	return []trace{
		{"bursty", 6 * time.Hour, bursts(1, 6, rand.New(rand.NewPCG(7, 7)))},
		{"diurnal", 12 * time.Hour, func(at float64) float64 { return 3.2 - 2.8*math.Cos(2*math.Pi*at/(6*3600)) }},
		{"step", 3 * time.Hour, func(at float64) float64 {
			if at > 3600 && at < 7200 {
				return 5
			}
			return 1
		}},
		{"constant", 6 * time.Hour, func(float64) float64 { return 3 }},
	}
}

// bursts is a low rate with times of a high one, some three an hour.
func bursts(low, high float64, random *rand.Rand) func(at float64) float64 {
	type burst struct{ from, rises, lasts, by float64 }
	var all []burst
	for at := 600.0; at < 24*3600; {
		b := burst{from: at, rises: 5 + 55*random.Float64(), lasts: 60 + 240*random.Float64(), by: (high - low) * (0.4 + 0.6*random.Float64())}
		all = append(all, b)
		at += b.lasts + 300 + 1200*random.Float64()
	}
	return func(at float64) float64 {
		rate := low
		for _, b := range all {
			if at >= b.from && at < b.from+b.lasts {
				rate = max(rate, low+b.by*min((at-b.from)/b.rises, 1))
			}
		}
		return rate
	}
}

// arrivals are a Poisson process of the trace's rate, by thinning.
func (t trace) arrivals(seed uint64) []request {
	random := rand.New(rand.NewPCG(seed, 1))
	const most = 16.0 // per second, more than any trace has
	var out []request
	for at := 0.0; ; {
		at += random.ExpFloat64() / most
		if at >= t.lasts.Seconds() {
			return out
		}
		hold := math.Exp(math.Log(meanHold) - sigma*sigma/2 + sigma*random.NormFloat64())
		if random.Float64()*most < t.rate(at) {
			out = append(out, request{at: seconds(at), holds: seconds(hold)})
		}
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
