package main

import (
	"flag"
	"fmt"
	"os"
	"runtime/pprof"
	"slices"
	"time"
)

// A goal is what a ratio of applies per second must come to.
type goal struct {
	over    string
	writers int
	least   float64
}

var goals = []goal{{"boltdb", 1, 2}, {"boltdb", 64, 2}, {"raftwal", 64, 1}}

func main() {
	dir := flag.String("dir", "", "folder on the disk to measure (default: the system's for temporary files)")
	rounds := flag.Int("rounds", 25, "rounds for each number of writers")
	each := flag.Duration("round", 250*time.Millisecond, "time for one store in one round")
	size := flag.Int("bytes", 300, "bytes of an entry")
	profile := flag.String("cpuprofile", "", "write a CPU profile of this repository's store to this file")
	flag.Parse()
	if err := run(*dir, *rounds, *each, *size, *profile); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(dir string, rounds int, each time.Duration, size int, profile string) error {
	dir, err := os.MkdirTemp(dir, "bench-storage-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Printf("a sync of 4 KiB takes %v (median)\n", syncTime(dir).Round(time.Microsecond))
	rates := map[int]map[string][]float64{}
	for _, writers := range []int{1, 64} {
		if rates[writers], err = compare(dir, writers, rounds, each, size, profile); err != nil {
			return err
		}
	}
	for _, g := range goals {
		ratio := median(ratios(rates[g.writers]["lotabots"], rates[g.writers][g.over]))
		missed := ""
		if ratio < g.least {
			missed = " (missed)"
		}
		fmt.Printf("figure: bench_storage_over_%s_%d_writers %.2f x goal >= %g%s\n", g.over, g.writers, ratio, g.least, missed)
	}
	return nil
}

// compare gives each store's applies per second, round by round.
func compare(dir string, writers, rounds int, each time.Duration, size int, profile string) (map[string][]float64, error) {
	groups, err := open(dir, writers)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, g := range groups {
			g.close()
		}
	}()
	for _, g := range groups { // until files have been laid out
		if _, err := g.load(writers, 5*each, size); err != nil {
			return nil, err
		}
	}
	rates := map[string][]float64{}
	for range rounds {
		for _, g := range groups {
			rate, err := profiled(profile, g, func() (float64, error) { return g.load(writers, each, size) })
			if err != nil {
				return nil, fmt.Errorf("%s: %w", g.name, err)
			}
			rates[g.name] = append(rates[g.name], rate)
		}
		slices.Reverse(groups) // so that none always follows the same one
	}
	for _, name := range []string{"lotabots", "boltdb", "raftwal"} {
		r := rates[name]
		fmt.Printf("%2d writers  %-9s %8.0f applies/s (%.0f to %.0f)", writers, name, median(r), slices.Min(r), slices.Max(r))
		if name != "lotabots" {
			fmt.Printf("  lotabots has %.2f times that", median(ratios(rates["lotabots"], r)))
		}
		fmt.Println()
	}
	return rates, nil
}

// profiled keeps the profile of the last load of this repository's store.
func profiled(file string, g *group, load func() (float64, error)) (float64, error) {
	if file == "" || g.name != "lotabots" {
		return load()
	}
	f, err := os.Create(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if err := pprof.StartCPUProfile(f); err != nil {
		return 0, err
	}
	defer pprof.StopCPUProfile()
	return load()
}

func ratios(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] / b[i]
	}
	return out
}

func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}
