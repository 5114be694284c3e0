package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/balance"
)

// A goal is one setting and how much later than with one queue that knows everything
// the 99th percentile of first tokens may come.
type goal struct {
	name string
	most float64
	set  func(*settings)
}

func at(gateways int, latency, staleness time.Duration, load float64, trace string) func(*settings) {
	return func(s *settings) {
		s.gateways, s.latency, s.staleness, s.load, s.trace = gateways, latency, staleness, load, trace
	}
}

const (
	near = time.Millisecond
	far  = 40 * time.Millisecond
)

var goals = []goal{
	{"one_gateway", 1.1, at(1, near, time.Second, 0.9, poisson)},
	{"near_3_gateways", 1.1, at(3, near, time.Second, 0.9, poisson)},
	{"near_9_gateways", 1.1, at(9, near, time.Second, 0.9, poisson)},
	{"far_3_gateways", 1.5, at(3, far, time.Second, 0.9, poisson)},
	{"far_9_gateways", 1.5, at(9, far, time.Second, 0.9, poisson)},
	{"load_95_3_gateways", 1.25, at(3, near, time.Second, 0.95, poisson)},
	{"load_95_9_gateways", 1.25, at(9, near, time.Second, 0.95, poisson)},
	{"fresh_reports", 1.1, at(3, near, 0, 0.9, poisson)},
	{"old_reports", 1.1, at(9, near, 5*time.Second, 0.9, poisson)},
	{"bursty", 1.1, at(3, near, time.Second, 0.7, bursty)},
	{"conversation", 1.1, at(3, near, time.Second, 0.9, conversation)},
}

// bench prints every setting, and what it came to.
func bench(out io.Writer, s settings) {
	var lines []string
	for _, g := range goals {
		g.set(&s)
		lines = append(lines, figure("routing_p99_"+g.name, compare(out, s), "x", g.most))
	}
	lines = append(lines, benchHits(out, s)...)
	took, mallocs := decide(256, 50_000)
	lines = append(lines, figure("routing_decision_p50_256_gpus", took[len(took)/2].Seconds()*1e6, "us", 20),
		figure("routing_decision_p99_256_gpus", took[len(took)*99/100].Seconds()*1e6, "us", 20),
		figure("routing_decision_allocations", mallocs, "allocations", 0))
	for _, l := range lines {
		fmt.Fprintln(out, l)
	}
}

func figure(name string, value float64, unit string, most float64) string {
	missed := ""
	if value > most {
		missed = " (missed)"
	}
	return fmt.Sprintf("figure: %s %.3f %s goal <= %g%s", name, value, unit, most, missed)
}

// decide times so many decisions of a gateway that knows so many GPUs, in ascending
// order, and counts what one allocates.
func decide(gpus, times int) (took []time.Duration, mallocs float64) {
	table := balance.NewTable(balance.Config{DigestInterval: time.Hour})
	table.PutMember(balance.Member{Node: "n"})
	d := &wire.LoadDigest{Node: "n", Boot: 1}
	for i := range gpus {
		f := float32(int(4) >> (i % 3))
		d.Devices = append(d.Devices, &wire.DeviceLoad{Device: strconv.Itoa(i), Seq: 1, Instances: []*wire.InstanceLoad{{
			Instance: "i" + strconv.Itoa(i), Deployment: deployment, Version: 1, State: wire.InstanceState_INSTANCE_STATE_READY, Slots: slotsOfAll,
			Running: uint32(i % (slotsOfAll + 1)), BacklogSeconds: float32(i%30) / 100, PrefillTps: basePrefill * f, DecodeTps: baseDecode * f, Grants: true, Paced: true}}})
	}
	table.Observe(d, time.Now())
	q := &balance.Query{Deployment: deployment, Version: 1, PromptTokens: meanPrompt, Expected: true}
	took = make([]time.Duration, times)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range took {
		began := time.Now()
		g, _, err := table.Enter(q, nil)
		took[i] = time.Since(began)
		if err != nil {
			panic(err)
		}
		g.Release()
	}
	runtime.ReadMemStats(&after)
	slices.Sort(took)
	return took, float64((after.Mallocs - before.Mallocs) / uint64(times))
}
