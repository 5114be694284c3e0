package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"
)

// A figure is one line of the outcome. A goal missed is told, and fails nothing.
type figure struct {
	name  string
	value float64
	unit  string
	goal  float64 // at most; 0: none
}

func (f figure) String() string {
	line := fmt.Sprintf("figure: %s %.3f %s", f.name, f.value, f.unit)
	if f.goal > 0 {
		line += fmt.Sprintf(" goal <= %g", f.goal)
	}
	if f.goal > 0 && f.value > f.goal {
		line += " (missed)"
	}
	return line
}

// print tells the outcome. Delays are over all rounds; ratios are the median of
// the rounds', since a machine whose speed changes does so for both ways.
func (o *outcome) print(out io.Writer) {
	fmt.Fprintf(out, "%d followers of %d servers; %d rounds of %s at %g writes/s; %d CPUs run all of it, the followers' share by far the largest\n",
		o.followers, len(serverIDs), o.rounds, o.length, o.rate, runtime.NumCPU())
	fmt.Fprintf(out, "%d certificates were made in %s; a snapshot of %d keys is %.1f MiB\n\n",
		o.followers, o.certificates.Round(time.Millisecond), o.keys, float64(o.snapshots)/float64(o.followers)/(1<<20))
	feed, bare := gathered(o.feed), gathered(o.bare)
	ratio := func(of func(round) float64) float64 {
		var values []float64
		for i := range o.feed {
			values = append(values, of(o.feed[i])/of(o.bare[i]))
		}
		return quantile(values, 0.5)
	}
	p99 := func(r round) float64 { return ms(quantile(slices.Clone(r.delays), 0.99)) }
	cpu := func(r round) float64 { return float64(r.cpu) / 1e3 / float64(len(r.delays)) }
	var bytes, shares []float64
	entries, written := 0, 0
	for _, r := range o.feed {
		bytes = append(bytes, float64(r.sent)/float64(len(r.delays)))
		shares = append(shares, cpu(r))
		for _, w := range r.writes {
			entries, written = entries+w.Bytes, written+1
		}
	}
	of := func(n float64) float64 { return n / float64(o.followers) }
	for _, f := range []figure{
		{"feed_apply_delay_p50", ms(quantile(feed, 0.5)), "ms", 0},
		{"feed_apply_delay_p99", ms(quantile(feed, 0.99)), "ms", 250},
		{"feed_apply_delay_max", ms(quantile(feed, 1)), "ms", 0},
		{"broadcast_apply_delay_p50", ms(quantile(bare, 0.5)), "ms", 0},
		{"broadcast_apply_delay_p99", ms(quantile(bare, 0.99)), "ms", 0},
		{"feed_apply_delay_p99_over_broadcast", ratio(p99), "x", 2},
		{"feed_server_cpu_per_entry_and_follower", quantile(shares, 0.5), "us", 0},
		{"feed_server_cpu_over_broadcast", ratio(cpu), "x", 4},
		{"feed_server_idle_cpu_per_follower", of(float64(o.idle) / 1e3), "us/s", 0},
		{"feed_bytes_per_entry_and_follower", quantile(bytes, 0.5), "bytes", 0},
		{"entry_bytes", float64(entries) / float64(max(1, written)), "bytes", 0},
		{"feed_server_memory_per_follower", of(float64(o.memory) / 1024), "KiB", 128},
		{"feed_catch_up_all", o.catchUp.Seconds(), "s", 0},
		{"feed_catch_up_server_cpu_per_follower", of(ms(o.catchUpCPU)), "ms", 0},
		{"feed_resume_all", quantile(o.resume, 0.5).Seconds(), "s", 5},
	} {
		fmt.Fprintln(out, f)
	}
}

// gathered are the delays of all rounds, in order of size.
func gathered(rounds []round) []time.Duration {
	var all []time.Duration
	for _, r := range rounds {
		all = append(all, r.delays...)
	}
	slices.Sort(all)
	return all
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// quantile of the values, which it sorts; the zero value where there are none.
func quantile[T cmp.Ordered](values []T, q float64) T {
	var none T
	if len(values) == 0 {
		return none
	}
	slices.Sort(values)
	return values[min(len(values)-1, int(q*float64(len(values))))]
}
