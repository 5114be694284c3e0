package main

import (
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"time"

	"github.com/lotabots/lotabots/actors/slots/trial"
)

func main() {
	seeds := flag.Int("seeds", 3, "runs of each setting, of different requests")
	first := flag.Int("first", 1, "the first of their seeds")
	only := flag.String("engines", "", "a regular expression for the names of engines; empty: all")
	some := flag.String("works", "", "likewise of works")
	flag.Parse()
	b := bench{out: os.Stdout, engines: regexp.MustCompile(*only), works: regexp.MustCompile(*some), best: map[string]int{}}
	for i := range *seeds {
		b.seeds = append(b.seeds, uint64(*first+i))
	}
	b.run()
}

const (
	ceiling = 64
	each    = 30.0 // tokens per second of one request alone
)

type engine struct {
	name  string
	rate  func(n int, at time.Duration) float64
	right bool // it serves as many as it is said to, so there is nothing to be found
}

// engines are what limits are found for.
func engines() []engine {
	var all []engine
	for _, n := range []int{1, 2, 4, 8, 16, 32, 64} {
		all = append(all, engine{fmt.Sprintf("saturates at %d", n), trial.Saturating(n, each), n == ceiling})
	}
	for _, n := range []int{4, 8, 32} {
		all = append(all, engine{fmt.Sprintf("collapses beyond %d", n), trial.Collapsing(n, each), false})
	}
	for _, n := range []int{8, 64} {
		all = append(all, engine{fmt.Sprintf("bends at %d", n), trial.Bending(n, each), n == ceiling})
	}
	return all
}

// A work is what is asked of engines.
type work struct {
	name   string
	load   float64 // of what the best limit serves; 0: there are always more requests than places
	tokens float64
	way    time.Duration
	bursts bool
	seen   []sight
	figure string // of p99, without what it is seen by
}

// A sight is what is seen of requests before they end.
type sight struct {
	name    string
	counted bool    // the engine counts its tokens
	streams float64 // part of the answers that come piece by piece
	figure  string  // added to the work's
	seeds   int     // at least
}

var (
	unseen   = sight{name: "by their ends"}
	counted  = sight{name: "by the engine's count", counted: true}
	streamed = sight{name: "half of them piece by piece", streams: 0.5}
)

var works = []work{
	{name: "more requests than places", tokens: 100, seen: []sight{unseen, counted}, figure: "p99"},
	{name: "requests come by themselves, .9 of what can be served", load: 0.9, tokens: 100, seen: []sight{unseen, counted}, figure: "p99_below_saturation"},
	{name: "they come in bursts of thrice as many, .6", load: 0.6, tokens: 100, bursts: true, seen: []sight{unseen, counted}, figure: "p99_in_bursts"},
	{name: "more than places, gateways .3 s away", tokens: 100, way: 300 * time.Millisecond, seen: []sight{unseen, counted}, figure: "p99_far"},
	{name: "few and long answers, .7", load: 0.7, tokens: 2000, seen: []sight{counted.of("_counted", 6), streamed.of("_streamed", 6), unseen.of("_unseen", 3)}, figure: "p99_long"},
}

// of tells what is seen so by a figure of its own, after so many seeds at least.
func (s sight) of(figure string, seeds int) sight {
	s.figure, s.seeds = figure, seeds
	return s
}

// setting has a limit that is found, and more requests than places.
func (w *work) setting(e *engine, see *sight, seed uint64) trial.Setting {
	hours := time.Duration(math.Sqrt(w.tokens/100) * float64(time.Hour)) // a fourth as many where they take twenty times as long
	return trial.Setting{Rate: e.rate, Counted: see.counted, Streams: see.streams, Ceiling: ceiling, Clients: 2 * ceiling, Tokens: w.tokens, Way: w.way, Noise: 0.2, Counts: 2 * hours, Lasts: 6 * hours, Seed: seed}
}

// offer has requests come by themselves, so many tokens of answers a second.
func (w *work) offer(s *trial.Setting, tokens float64) {
	s.Clients, s.Ramp, s.Bursts, s.PerHour = 0, time.Hour, w.bursts, tokens/w.tokens*3600
}

// A comparison is what was found beside the best limit that never changes.
type comparison struct {
	goodput, took, limit, moves float64 // ratios; the limit's mean; moves an hour
	best                        int
}

func compare(e *engine, w *work, see *sight, best int, seed uint64) comparison {
	found := w.setting(e, see, seed)
	still := found
	still.Fixed = best
	fixed := trial.Run(still)
	if w.load > 0 {
		tokens := w.load * fixed.Goodput
		w.offer(&found, tokens)
		w.offer(&still, tokens)
		fixed = trial.Run(still)
	}
	got := trial.Run(found)
	return comparison{got.Goodput / fixed.Goodput, float64(got.P(0.99)) / float64(fixed.P(0.99)), got.Limit, float64(got.Moves) / found.Lasts.Hours(), best}
}

// bestOf is the least limit by which no other has more than a hundredth more goodput.
func bestOf(s trial.Setting) int {
	s.Counts, s.Lasts = s.Counts/12, s.Lasts/6
	most := 0.0
	goodput := map[int]float64{}
	for i := 1; i <= s.Ceiling; i = max(i+1, i*9/8) {
		s.Fixed = i
		goodput[i] = trial.Run(s).Goodput
		most = max(most, goodput[i])
	}
	for i := 1; i <= s.Ceiling; i++ {
		if got, there := goodput[i]; there && got >= 0.99*most {
			return i
		}
	}
	return s.Ceiling
}

// A bench is a run of all that its expressions have.
type bench struct {
	out            io.Writer
	engines, works *regexp.Regexp
	seeds          []uint64
	best           map[string]int
}

func (b *bench) bestFor(e *engine, w *work) int {
	key := fmt.Sprint(e.name, w.tokens, w.way)
	if b.best[key] == 0 {
		b.best[key] = bestOf(w.setting(e, &unseen, 1))
	}
	return b.best[key]
}

// mean is the comparison over all seeds.
func (b *bench) mean(e *engine, w *work, see *sight) (sum comparison, worst float64) {
	seeds := b.seeds
	for len(seeds) < see.seeds {
		seeds = append(seeds[:len(seeds):len(seeds)], seeds[len(seeds)-1]+1)
	}
	part := 1 / float64(len(seeds))
	for _, seed := range seeds {
		c := compare(e, w, see, b.bestFor(e, w), seed)
		sum.goodput += part * c.goodput
		sum.took += part * c.took
		sum.limit += part * c.limit
		sum.moves += part * c.moves
		worst = max(worst, c.took)
	}
	return sum, worst
}

// run prints every engine, and the worst of all as figures.
func (b *bench) run() {
	goodput, right, took, rightTook, moves := math.Inf(1), math.Inf(1), map[string]float64{}, 0.0, 0.0
	for i := range works {
		w := &works[i]
		if !b.works.MatchString(w.name) {
			continue
		}
		for k := range w.seen {
			see := &w.seen[k]
			fmt.Fprintf(b.out, "%s; up to %d at a time, answers of %g tokens, 30 a second for one alone; seen %s\n", w.name, ceiling, w.tokens, see.name)
			for _, e := range engines() {
				if !b.engines.MatchString(e.name) {
					continue
				}
				c, worst := b.mean(&e, w, see)
				fmt.Fprintf(b.out, "  %-20s %5.1f at a time (best fixed %2d), goodput %.3f and p99 %.3f (worst %.3f) of the best fixed, %.1f changes/h\n", e.name, c.limit, b.bestFor(&e, w), c.goodput, c.took, worst, c.moves)
				name := w.figure + see.figure
				goodput, took[name], moves = min(goodput, c.goodput), max(took[name], c.took), max(moves, c.moves)
				if e.right {
					right, rightTook = min(right, c.goodput), max(rightTook, c.took)
				}
			}
		}
	}
	fmt.Fprintln(b.out, figure("slots_goodput_to_best_fixed", goodput, "x", ">=", 0.95))
	fmt.Fprintln(b.out, figure("slots_goodput_where_right_to_best_fixed", right, "x", ">=", 0.99))
	fmt.Fprintln(b.out, figure("slots_p99_where_right_to_best_fixed", rightTook, "x", "<=", 1.05))
	for i := range works {
		for k := range works[i].seen {
			name := works[i].figure + works[i].seen[k].figure
			if value, known := took[name]; known {
				fmt.Fprintln(b.out, figure("slots_"+name+"_to_best_fixed", value, "x", "<=", 1.25))
				delete(took, name)
			}
		}
	}
	fmt.Fprintln(b.out, figure("slots_changes", moves, "/h", "<=", 60))
}

// figure is a line of what is compared with a goal.
func figure(name string, value float64, unit, op string, goal float64) string {
	missed := ""
	if op == ">=" && !(value >= goal) || op == "<=" && !(value <= goal) {
		missed = " (missed)"
	}
	return fmt.Sprintf("figure: %s %.3f %s goal %s %g%s", name, value, unit, op, goal, missed)
}
