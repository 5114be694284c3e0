package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"
)

// A policy runs the trace and fills in when each request's first token came.
type policy func(s settings, trace []request, seed uint64) counts

// run is the 99th percentile of the time to the first token, the mean over the seeds.
// The first tenth of each trace is left out: queues are not yet what they will be.
func run(s settings, p policy) (p99 float64, c counts) {
	for i := range s.seeds {
		seed := s.seed + uint64(i)
		trace := traceOf(s.trace, s.requests, s.gateways, s.load, speedOf(fleetOf(&clock{}, s.gpus)), seed)
		one := p(s, trace, seed)
		c.control, c.rejects, c.leases, c.late = c.control+one.control, c.rejects+one.rejects, c.leases+one.leases, c.late+one.late
		p99 += percentile(trace[len(trace)/10:], 0.99) / float64(s.seeds)
	}
	return p99, c
}

func percentile(trace []request, q float64) float64 {
	all := make([]time.Duration, len(trace))
	for i := range trace {
		all[i] = trace[i].first
	}
	slices.Sort(all)
	return all[min(int(q*float64(len(all))), len(all)-1)].Seconds()
}

func byTime(trace []request) {
	slices.SortStableFunc(trace, func(a, b request) int { return cmp.Compare(a.at, b.at) })
}

// compare prints one setting under every policy, and returns how much later than with
// one queue that knows everything first tokens come.
func compare(out io.Writer, s settings) (ratio float64) {
	bound, _ := run(s, clairvoyant)
	fmt.Fprintf(out, "%d GPUs, %d gateways %v away, reports %v old, %s, load %g: p99 of the time to the first token, s\n", s.gpus, s.gateways, s.latency, s.staleness, s.trace, s.load)
	fmt.Fprintf(out, "  %-22s %8.3f\n", "one queue, clairvoyant", bound)
	ours, c := run(s, production)
	n := float64(s.requests * s.seeds)
	fmt.Fprintf(out, "  %-22s %8.3f  %.2fx; per request %.2f control messages, %.2f leases, %.3f rejects, %.4f late binds\n", "LotaBots", ours, ours/bound,
		float64(c.control)/n, float64(c.leases)/n, float64(c.rejects)/n, float64(c.late)/n)
	for _, p := range []struct {
		name string
		policy
	}{{"least request", atOnce(leastRequest)}, {"power of two", atOnce(powerOfTwo)}, {"round robin", atOnce(roundRobin)}} {
		p99, _ := run(s, p.policy)
		fmt.Fprintf(out, "  %-22s %8.3f  %.2fx\n", p.name, p99, p99/bound)
	}
	return ours / bound
}
