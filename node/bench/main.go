package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// settings are what a run should be.
type settings struct {
	binary  string
	against string // another build, measured beside it; empty: none
	profile string // file for the node's CPU profile under load; empty: none
	rounds  int
	idle    int           // streams
	rate    int           // requests/s, of the measurement at a fixed rate
	load    time.Duration // of each measurement of requests/s
	single  time.Duration // of each measurement with one connection
	streams time.Duration // of each measurement of streams
}

func main() {
	var s settings
	serve := flag.String("serve", "", "be a part of the benchmark: mock, paced, slots, idle or pass (the benchmark starts these itself)")
	upstream := flag.String("upstream", "", "host:port behind the pass-through")
	connections := flag.Int("connections", 1024, "the most that the pass-through has to it")
	usage := flag.Bool("usage", false, "measure what writing requests to the usage ledger costs, and nothing else")
	overload := flag.Bool("overload", false, "send more than can be served, and nothing else")
	strain := flag.Bool("strain", false, "send more than the node's one processor can take, and nothing else: for a machine with four idle ones")
	flag.StringVar(&s.binary, "binary", "bin/lotabots", "the lotabots executable")
	flag.StringVar(&s.against, "against", "", "another lotabots executable, measured in turn with the first")
	flag.StringVar(&s.profile, "profile", "", "at the end, write a CPU profile of the node under load to this file, what it allocates to FILE.allocs, the same under streams to FILE.streams, and its heap with idle streams to FILE.heap")
	flag.IntVar(&s.idle, "idle", 10_000, "idle streams to hold, as far as the limit on open files allows; 0: none")
	flag.IntVar(&s.rate, "rate", 500, "requests/s of the measurement at a fixed rate")
	flag.IntVar(&s.rounds, "rounds", 4, "rounds; figures are medians over them")
	flag.DurationVar(&s.load, "load", 1200*time.Millisecond, "length of a measurement of requests/s")
	flag.DurationVar(&s.single, "single", 400*time.Millisecond, "length of a measurement with one connection")
	flag.DurationVar(&s.streams, "streams", 600*time.Millisecond, "length of a measurement of streams")
	flag.Parse()
	var err error
	if *serve != "" {
		err = servePart(*serve, *upstream, *connections) // until a signal ends the process
	} else {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		switch {
		case *usage:
			err = benchUsage(ctx, s)
		case *strain:
			err = benchStrain(ctx, s)
		case *overload:
			err = benchOverload(ctx, s)
		default:
			err = bench(ctx, s)
		}
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, s settings) error {
	p, err := startParts(ctx, s.binary)
	if err != nil {
		return err
	}
	defer p.stop()
	if err := p.warm(); err != nil {
		return err
	}
	ways := p.ways()
	if s.against != "" {
		q, err := p.beside(ctx, s.against)
		if err != nil {
			return err
		}
		defer q.stop()
		other := q.ways()[lota]
		other.name = "other build"
		ways = append(ways, other)
	}
	results := make([]result, len(ways))
	for round := range s.rounds {
		for i := range ways { // another order each time
			at := (i + round) % len(ways)
			m, err := measure(ctx, ways[at], s)
			if err != nil {
				return fmt.Errorf("%s: %w", ways[at].name, err)
			}
			results[at] = append(results[at], m)
		}
	}
	fmt.Printf("%d rounds; generator, engine and what is between share %d CPUs: compare ratios only\n\n", s.rounds, runtime.NumCPU())
	table(os.Stdout, ways, results)
	if s.against != "" {
		against(os.Stdout, results[lota], results[len(results)-1])
	}
	added(os.Stdout, results[direct], results[bare], results[lota])
	for _, f := range figures(results[direct], results[bare], results[lota]) {
		fmt.Println(f)
	}
	if s.profile != "" {
		if err := p.profile(ctx, s.profile); err != nil {
			return err
		}
	}
	if s.idle == 0 {
		return nil
	}
	heap := ""
	if s.profile != "" {
		heap = s.profile + ".heap"
	}
	m, err := p.idle(ctx, s.binary, s.idle, heap)
	if err != nil {
		return fmt.Errorf("idle streams: %w", err)
	}
	fmt.Printf("\nmemory per idle stream of %d, KB: %.1f through the pass-through, %.1f through LotaBots, which uses %.1f of it in heap and stacks; %.1f with what its heap had to spare before\n",
		m.streams, m.bare.resident/1024, m.lota.resident/1024, m.lota.used/1024, m.lota.strict()/1024)
	for _, f := range m.figures() {
		fmt.Println(f)
	}
	return nil
}
