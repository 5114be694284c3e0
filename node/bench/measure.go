package main

import (
	"context"
	"time"
)

// Places of the ways in lists.
const (
	direct = iota
	bare
	lota
)

// A way is one way to the engine.
type way struct {
	name  string
	fast  target // to the engine that answers at once
	paced target // to the one that takes its time; no address: not measured
	pid   int    // of the process in between; 0: there is none
	data  string // of a node: its directory; empty: it is none
}

// A target is where to send requests.
type target struct {
	address string // host:port
	model   string
	key     string
}

const (
	manyConnections = 64
	someStreams     = 16
)

// A measurement is one round of one way.
type measurement struct {
	rate              float64       // requests/s with many connections
	cpu               time.Duration // of the process in between, per request
	kernel            time.Duration // of cpu
	switches          float64       // of its threads, per request
	allocations       float64       // of the node, per request
	p50               time.Duration // with many connections
	alone             time.Duration // p50 with one connection
	alone99           time.Duration // p99 then
	open              time.Duration // p50 at a fixed rate
	open99            time.Duration // p99 then
	chunks            float64       // pieces of streams per second, as fast as they come
	firstToken        time.Duration // p50, paced
	streamCPU         time.Duration // of the process in between, per stream of streamTokens pieces
	streamSwitches    float64       // of its threads, per stream
	streamAllocations float64       // of the node, per stream
	lag               time.Duration // p50 of how late a token is against the engine's pace
}

// A result is one way's rounds.
type result []measurement

// median of one figure over the rounds.
func (r result) median(of func(measurement) float64) float64 {
	values := make([]float64, len(r))
	for i, m := range r {
		values[i] = of(m)
	}
	return quantile(values, 0.5)
}

func measure(ctx context.Context, w way, s settings) (m measurement, err error) {
	one, err := closedLoops(ctx, w.fast, 1, s.single)
	if err != nil {
		return m, err
	}
	m.alone, m.alone99 = quantile(one, 0.5), quantile(one, 0.99)
	if one, err = fixedRate(ctx, w.fast, manyConnections, s.rate, s.load); err != nil {
		return m, err
	}
	m.open, m.open99 = quantile(one, 0.5), quantile(one, 0.99)
	before, had := spentBy(w.pid), allocationsOf(w.data)
	began := time.Now()
	p50, n, err := closedLoop(ctx, w.fast, manyConnections, s.load)
	if err != nil {
		return m, err
	}
	m.rate, m.p50 = float64(n)/time.Since(began).Seconds(), p50
	if w.pid != 0 {
		all := spentBy(w.pid).since(before)
		m.allocations = (allocationsOf(w.data) - had) / float64(n)
		m.cpu, m.kernel, m.switches = all.cpu/time.Duration(n), all.kernel/time.Duration(n), float64(all.switches)/float64(n)
	}
	before, had, began = spentBy(w.pid), allocationsOf(w.data), time.Now()
	fast, err := streamLoop(ctx, w.fast, someStreams, s.streams)
	if err != nil {
		return m, err
	}
	m.chunks = float64(fast.pieces) / time.Since(began).Seconds()
	if w.pid != 0 {
		all := spentBy(w.pid).since(before)
		m.streamAllocations = (allocationsOf(w.data) - had) / float64(len(fast.first))
		m.streamCPU, m.streamSwitches = all.cpu/time.Duration(len(fast.first)), float64(all.switches)/float64(len(fast.first))
	}
	if w.paced.address == "" {
		return m, nil
	}
	paced, err := streamLoop(ctx, w.paced, someStreams/2, s.streams)
	if err != nil {
		return m, err
	}
	m.firstToken, m.lag = quantile(paced.first, 0.5), quantile(paced.late, 0.5)
	return m, nil
}
