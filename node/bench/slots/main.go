package main

import (
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/lotabots/lotabots/actors/slots/trial"
)

func main() {
	seeds := flag.Int("seeds", 3, "runs of each setting, of different requests")
	flag.Parse()
	bench(os.Stdout, *seeds)
}

const (
	ceiling = 64
	each    = 30.0 // tokens per second of one request alone
)

type engine struct {
	name string
	rate func(n int, at time.Duration) float64
}

// engines are what limits are found for.
func engines() []engine {
	var all []engine
	for _, n := range []int{1, 2, 4, 8, 16, 32, 64} {
		all = append(all, engine{fmt.Sprintf("saturates at %d", n), trial.Saturating(n, each)})
	}
	for _, n := range []int{4, 8, 32} {
		all = append(all, engine{fmt.Sprintf("collapses beyond %d", n), trial.Collapsing(n, each)})
	}
	for _, n := range []int{8, 64} {
		all = append(all, engine{fmt.Sprintf("bends at %d", n), trial.Bending(n, each)})
	}
	return all
}

// A comparison is what was found beside the best limit that never changes.
type comparison struct {
	goodput, took, limit, moves float64 // ratios; the limit's mean; moves an hour
	best                        int
}

// compare runs one engine. Where load is 0 there are always more requests than places; else they
// come at random, so many of those that the best limit can serve.
func compare(e engine, load float64, seeds int) (c comparison) {
	for seed := range seeds {
		s := trial.Setting{Rate: e.rate, Ceiling: ceiling, Clients: 2 * ceiling, Tokens: 100, Noise: 0.2, Counts: 2 * time.Hour, Lasts: 6 * time.Hour, Seed: uint64(seed) + 1}
		n, fixed := best(s)
		if load > 0 {
			s.Clients, s.Ramp, s.PerHour, s.Fixed = 0, time.Hour, load*fixed.Goodput/s.Tokens*3600, n
			fixed = trial.Run(s)
		}
		s.Fixed = 0
		found := trial.Run(s)
		part := 1 / float64(seeds)
		c.goodput += part * found.Goodput / fixed.Goodput
		c.took += part * float64(found.P(0.99)) / float64(fixed.P(0.99))
		c.limit += part * found.Limit
		c.moves += part * float64(found.Moves) / s.Lasts.Hours()
		c.best = n
	}
	return c
}

// best is the least limit by which no other has more than a hundredth more goodput.
func best(s trial.Setting) (n int, r trial.Result) {
	s.Counts, s.Lasts = 10*time.Minute, time.Hour
	most := 0.0
	results := map[int]trial.Result{}
	for i := 1; i <= s.Ceiling; i = max(i+1, i*9/8) {
		s.Fixed = i
		results[i] = trial.Run(s)
		most = max(most, results[i].Goodput)
	}
	for i := 1; i <= s.Ceiling; i++ {
		if got, there := results[i]; there && got.Goodput >= 0.99*most {
			s.Fixed, s.Counts, s.Lasts = i, 2*time.Hour, 6*time.Hour
			return i, trial.Run(s)
		}
	}
	return s.Ceiling, results[s.Ceiling]
}

// bench prints every engine, and the worst of all as figures.
func bench(out io.Writer, seeds int) {
	goodput, took, moves := math.Inf(1), map[float64]float64{}, 0.0
	for _, load := range []float64{0, 0.9} {
		fmt.Fprintf(out, "%s; up to %d at a time, answers of 100 tokens, 30 a second for one alone\n", map[float64]string{0: "more requests than places", 0.9: "requests come by themselves, .9 of what can be served"}[load], ceiling)
		for _, e := range engines() {
			c := compare(e, load, seeds)
			fmt.Fprintf(out, "  %-20s %5.1f at a time (best fixed %2d), goodput %.3f and p99 %.3f of the best fixed, %.1f changes/h\n", e.name, c.limit, c.best, c.goodput, c.took, c.moves)
			goodput, took[load], moves = min(goodput, c.goodput), max(took[load], c.took), max(moves, c.moves)
		}
	}
	fmt.Fprintln(out, figure("slots_goodput_to_best_fixed", goodput, "x", ">=", 0.95))
	fmt.Fprintln(out, figure("slots_p99_to_best_fixed", took[0], "x", "<=", 1.25))
	fmt.Fprintln(out, figure("slots_p99_below_saturation_to_best_fixed", took[0.9], "x", "<=", 1.25))
	fmt.Fprintln(out, figure("slots_changes", moves, "/h", "<=", 60))
}

// figure is a line of what is compared with a goal.
func figure(name string, value float64, unit, op string, goal float64) string {
	missed := ""
	if op == ">=" && !(value >= goal) || op == "<=" && !(value <= goal) {
		missed = " (missed)"
	}
	return fmt.Sprintf("figure: %s %.3f %s goal %s %g%s", name, value, unit, op, goal, missed)
}
