package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

func main() {
	seeds := flag.Int("seeds", 2, "runs of each setting, of different arrivals")
	flag.Parse()
	bench(os.Stdout, *seeds)
}

// policies are compared in this order.
var policies = []struct {
	name string
	of   func(trace []request, load time.Duration) policy
}{
	{"LotaBots", production}, {"threshold rule", threshold}, {"clairvoyant", clairvoyant},
	{fmt.Sprintf("fixed, %d", least), fixed(least)}, {fmt.Sprintf("fixed, %d", most), fixed(most)},
}

// A result is what became of a trace, by the hour.
type result struct {
	missed   float64 // seconds in which more than one of ten requests that came waited for too long
	changes  float64
	replicas float64 // on average
	refused  float64 // of a thousand requests
}

// simulate runs the trace once.
func simulate(t trace, load time.Duration, seed uint64, of func([]request, time.Duration) policy) result {
	requests := t.arrivals(seed)
	p := of(requests, load)
	w := newWorld(requests, load, least)
	w.want(p(w))
	begun := w.changes
	for _, r := range w.replicas { // what is wanted at the beginning is there
		r.serves = 0
	}
	for w.now < t.lasts {
		w.second()
		w.want(p(w))
	}
	hours := t.lasts.Hours()
	out := result{changes: float64(w.changes-begun) / hours, replicas: w.spent.Hours() / hours}
	late, came := make([]int, int(t.lasts/time.Second)), make([]int, int(t.lasts/time.Second))
	for _, r := range requests {
		s := int(r.at / time.Second)
		came[s]++
		if r.refused || r.waited > target {
			late[s]++
		}
		if r.refused {
			out.refused += 1000 / float64(len(requests))
		}
	}
	for s := range late {
		if late[s]*10 > came[s] {
			out.missed += 1 / hours
		}
	}
	return out
}

// average is the mean over the seeds.
func average(t trace, load time.Duration, seeds int, of func([]request, time.Duration) policy) (sum result) {
	n := float64(seeds)
	for seed := range seeds {
		r := simulate(t, load, uint64(seed)+1, of)
		sum.missed, sum.changes = sum.missed+r.missed/n, sum.changes+r.changes/n
		sum.replicas, sum.refused = sum.replicas+r.replicas/n, sum.refused+r.refused/n
	}
	return sum
}

// bench prints every trace under every policy, and the figures that have a goal.
func bench(out io.Writer, seeds int) {
	fmt.Fprintf(out, "requests of %.0f s on average, %d slots a replica, %d to %d replicas; below target: seconds an hour in which more than one of ten\nrequests that came waited for more than %v or was refused\n", meanHold, slots, least, most, target)
	kept := map[string]result{}
	for _, t := range traces() {
		for _, load := range []time.Duration{10 * time.Second, 30 * time.Second, 60 * time.Second} {
			fmt.Fprintf(out, "%s, %v to load\n", t.name, load)
			for _, p := range policies {
				r := average(t, load, seeds, p.of)
				kept[fmt.Sprint(t.name, load, p.name)] = r
				fmt.Fprintf(out, "  %-16s %7.1f s/h below target, %6.1f changes/h, %5.1f replicas, %5.1f of 1000 refused\n", p.name, r.missed, r.changes, r.replicas, r.refused)
			}
		}
	}
	of := func(trace, policy string) result { return kept[fmt.Sprint(trace, 30*time.Second, policy)] }
	ours, rule, known := of("bursty", "LotaBots"), of("bursty", "threshold rule"), of("bursty", "clairvoyant")
	for _, line := range []string{
		figure("scaling_bursty_below_target_to_threshold_rule", ours.missed/rule.missed, "x", 0.5),
		figure("scaling_bursty_changes", ours.changes, "/h", 120),
		figure("scaling_bursty_replicas_to_clairvoyant", ours.replicas/known.replicas, "x", 2.2),
		figure("scaling_diurnal_below_target", of("diurnal", "LotaBots").missed, "s/h", 36),
		figure("scaling_constant_changes", of("constant", "LotaBots").changes, "/h", 18),
	} {
		fmt.Fprintln(out, line)
	}
}

// figure is a line of what is compared with a goal.
func figure(name string, value float64, unit string, most float64) string {
	missed := ""
	if !(value <= most) {
		missed = " (missed)"
	}
	return fmt.Sprintf("figure: %s %.3f %s goal <= %g%s", name, value, unit, most, missed)
}
