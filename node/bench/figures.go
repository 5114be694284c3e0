package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// A figure is one line of the outcome. A goal missed is told, and fails nothing.
type figure struct {
	name  string
	value float64
	unit  string
	op    string // >= or <=
	goal  float64
}

func (f figure) String() string {
	missed := ""
	if f.op == ">=" && f.value < f.goal || f.op == "<=" && f.value > f.goal {
		missed = " (missed)"
	}
	return fmt.Sprintf("figure: %s %.3f %s goal %s %g%s", f.name, f.value, f.unit, f.op, f.goal, missed)
}

// figures compare LotaBots with the bare pass-through, and its streams' delays
// with the engine alone. Ratios are taken within each round. That of first tokens is
// of whole times, the engine's own in both.
func figures(alone, bare, lota result) []figure {
	ratio := func(of func(measurement) float64) float64 {
		return compare(lota, bare, func(l, b measurement) float64 { return of(l) / of(b) })
	}
	added := func(to result, of func(measurement) time.Duration) float64 {
		return compare(lota, to, func(l, o measurement) float64 { return milliseconds(of(l) - of(o)) })
	}
	return []figure{
		{"requests_per_second_ratio", ratio(func(m measurement) float64 { return m.rate }), "x", ">=", 0.6},
		{"cpu_per_request_ratio", ratio(func(m measurement) float64 { return float64(m.cpu) }), "x", "<=", 1.7},
		{"p50_added", added(bare, func(m measurement) time.Duration { return m.alone }), "ms", "<=", 0.1},
		{"stream_pieces_per_second_ratio", ratio(func(m measurement) float64 { return m.chunks }), "x", ">=", 0.9},
		{"first_token_ratio", compare(lota, bare, func(l, b measurement) float64 { return float64(b.firstToken) / float64(l.firstToken) }), "x", ">=", 0.9},
		{"first_token_added", added(alone, func(m measurement) time.Duration { return m.firstToken }), "ms", "<=", 1},
		{"token_added", added(alone, func(m measurement) time.Duration { return m.lag }), "ms", "<=", 0.5},
	}
}

// added tells what the ways add to the engine's own pace.
func added(out io.Writer, alone, bare, lota result) {
	for _, r := range []struct {
		name string
		of   func(measurement) time.Duration
	}{
		{"first token", func(m measurement) time.Duration { return m.firstToken }},
		{"token after its time", func(m measurement) time.Duration { return m.lag }},
	} {
		more := func(to result) float64 {
			return compare(to, alone, func(t, a measurement) float64 { return milliseconds(r.of(t) - r.of(a)) })
		}
		fmt.Fprintf(out, "added to the engine's %s, ms: %.3f by the pass-through, %.3f by LotaBots\n", r.name, more(bare), more(lota))
	}
	fmt.Fprintln(out)
}

// against tells what one build is next to another, by the medians of the rounds' ratios: what
// else the machine does meanwhile weighs least on those.
func against(out io.Writer, this, other result) {
	fmt.Fprint(out, "next to the other build:")
	for _, r := range []struct {
		name string
		of   func(measurement) float64
	}{
		{"CPU per request", func(m measurement) float64 { return float64(m.cpu) }},
		{"CPU per stream", func(m measurement) float64 { return float64(m.streamCPU) }},
		{"requests/s", func(m measurement) float64 { return m.rate }},
		{"pieces/s", func(m measurement) float64 { return m.chunks }},
		{"p50 of one connection", func(m measurement) float64 { return float64(m.alone) }},
	} {
		fmt.Fprintf(out, " %s x%.2f", r.name, compare(this, other, func(t, o measurement) float64 { return r.of(t) / r.of(o) }))
	}
	fmt.Fprint(out, "\n\n")
}

// compare is the median over the rounds of what two ways' measurements give.
func compare(a, b result, with func(a, b measurement) float64) float64 {
	var values []float64
	for i := range min(len(a), len(b)) {
		values = append(values, with(a[i], b[i]))
	}
	return quantile(values, 0.5)
}

func table(out io.Writer, ways []way, results []result) {
	w := tabwriter.NewWriter(out, 0, 2, 2, ' ', tabwriter.AlignRight)
	row := func(name, format string, of func(measurement) float64) {
		fmt.Fprintf(w, "%s\t", name)
		for _, r := range results {
			if value := r.median(of); value != 0 {
				fmt.Fprintf(w, format+"\t", value)
			} else {
				fmt.Fprint(w, "-\t") // not measured
			}
		}
		fmt.Fprintln(w)
	}
	least := func(name string, of func(measurement) time.Duration) { // what else a machine does adds to it, and takes nothing off
		fmt.Fprintf(w, "%s\t", name)
		for _, r := range results {
			var values []float64
			for _, m := range r {
				values = append(values, 1000*milliseconds(of(m)))
			}
			if value := quantile(values, 0); value != 0 {
				fmt.Fprintf(w, "%.1f\t", value)
			} else {
				fmt.Fprint(w, "-\t")
			}
		}
		fmt.Fprintln(w)
	}
	fmt.Fprint(w, "medians\t")
	for _, way := range ways {
		fmt.Fprintf(w, "%s\t", way.name)
	}
	fmt.Fprintln(w)
	row("requests/s, 64 connections", "%.0f", func(m measurement) float64 { return m.rate })
	row("CPU per request, µs", "%.1f", func(m measurement) float64 { return 1000 * milliseconds(m.cpu) })
	least("its least round, µs", func(m measurement) time.Duration { return m.cpu })
	row("of it in the kernel, µs", "%.1f", func(m measurement) float64 { return 1000 * milliseconds(m.kernel) })
	row("thread switches per request", "%.2f", func(m measurement) float64 { return m.switches })
	row("allocations per request", "%.1f", func(m measurement) float64 { return m.allocations })
	row("p50, 64 connections, ms", "%.3f", func(m measurement) float64 { return milliseconds(m.p50) })
	row("p50, 1 connection, ms", "%.3f", func(m measurement) float64 { return milliseconds(m.alone) })
	row("p99, 1 connection, ms", "%.3f", func(m measurement) float64 { return milliseconds(m.alone99) })
	row("p50, fixed rate, ms", "%.3f", func(m measurement) float64 { return milliseconds(m.open) })
	row("p99, fixed rate, ms", "%.3f", func(m measurement) float64 { return milliseconds(m.open99) })
	row("stream pieces/s, 16 streams", "%.0f", func(m measurement) float64 { return m.chunks })
	row("CPU per stream of 24, µs", "%.0f", func(m measurement) float64 { return 1000 * milliseconds(m.streamCPU) })
	least("its least round, µs", func(m measurement) time.Duration { return m.streamCPU })
	row("thread switches per stream", "%.2f", func(m measurement) float64 { return m.streamSwitches })
	row("allocations per stream", "%.1f", func(m measurement) float64 { return m.streamAllocations })
	row("first token, paced, ms", "%.3f", func(m measurement) float64 { return milliseconds(m.firstToken) })
	row("token after its time, ms", "%.3f", func(m measurement) float64 { return milliseconds(m.lag) })
	_ = w.Flush()
	fmt.Fprintln(out)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// quantile of the values, which it sorts; the zero value where there are none.
func quantile[T cmp.Ordered](values []T, q float64) T {
	var none T
	if len(values) == 0 {
		return none
	}
	slices.Sort(values)
	return values[min(len(values)-1, int(q*float64(len(values))))]
}
