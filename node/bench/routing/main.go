package main

import (
	"flag"
	"os"
	"time"
)

// settings are what one run is of.
type settings struct {
	gpus      int
	gateways  int
	latency   time.Duration // from a gateway to a GPU, one way
	staleness time.Duration // of load reports, beside that
	load      float64
	trace     string
	caches    string // how gateways know what engines hold; empty: nothing is held
	requests  int
	seeds     int
	seed      uint64
}

func main() {
	s := settings{}
	flag.IntVar(&s.gpus, "gpus", 12, "GPUs, a third each of relative speed 4, 2 and 1")
	flag.IntVar(&s.requests, "requests", 20_000, "requests of one run")
	flag.IntVar(&s.seeds, "seeds", 3, "runs of each setting")
	flag.Uint64Var(&s.seed, "seed", 1, "first seed")
	flag.IntVar(&s.gateways, "gateways", 0, "one setting alone: this many gateways")
	flag.DurationVar(&s.latency, "latency", time.Millisecond, "one setting alone: one way between gateways and GPUs")
	flag.DurationVar(&s.staleness, "staleness", time.Second, "one setting alone: age of load reports")
	flag.Float64Var(&s.load, "load", 0.9, "one setting alone: part of the GPUs' prefill speed that is asked for")
	flag.StringVar(&s.trace, "trace", poisson, "one setting alone: poisson, bursty or conversation")
	flag.Parse()
	if s.gateways > 0 {
		compare(os.Stdout, s)
		return
	}
	bench(os.Stdout, s)
}
