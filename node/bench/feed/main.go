package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// settings are what a run should be.
type settings struct {
	followers int
	keys      int           // in the state before the first follower comes
	rate      float64       // writes per second
	length    time.Duration // of writing, per round and way
	rounds    int
	profile   string // files for CPU profiles begin so; empty: none
}

func main() {
	var s settings
	serve := flag.String("serve", "", "be the servers, in this directory (the benchmark starts them itself)")
	flag.IntVar(&s.followers, "followers", 1000, "followers of the feed")
	flag.IntVar(&s.keys, "keys", 4500, "API keys in the state that followers begin with")
	flag.Float64Var(&s.rate, "rate", 10, "writes per second")
	flag.DurationVar(&s.length, "length", 5*time.Second, "how long to write, per round and way")
	flag.IntVar(&s.rounds, "rounds", 3, "rounds")
	flag.StringVar(&s.profile, "profile", "", "write CPU profiles of servers and followers to files whose names begin so")
	flag.Parse()
	var err error
	if *serve != "" {
		err = serveGroup(*serve, s.profile) // until its input ends
	} else {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		var o *outcome
		if o, err = bench(ctx, s); err == nil {
			o.print(os.Stdout)
		}
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-feed:", err)
		os.Exit(1)
	}
}
