package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/lotabots/lotabots/chaos"
)

func main() {
	c := chaos.RevocationConfig{Out: os.Stderr}
	flag.StringVar(&c.Binary, "binary", "bin/lotabots", "the lotabots executable")
	flag.IntVar(&c.Nodes, "nodes", 5, "nodes of the cluster")
	flag.IntVar(&c.Times, "times", 200, "revocations")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	report, err := chaos.Revocation(ctx, c)
	stop()
	if report != nil {
		fmt.Printf("%d revocations in %d nodes on one machine, which also runs a client for each; %d answers named a node that lags; a node was asked every %v at the slowest\n",
			len(report.Called), c.Nodes, report.Lagging, report.Gap.Round(100*time.Microsecond))
		for _, q := range []struct {
			name string
			q    float64
		}{{"p50", 0.5}, {"p99", 0.99}} {
			goal := 0
			if q.q == 0.99 {
				goal = 250
			}
			figure("revocation_answered_"+q.name, report.Answered, q.q, 0)
			figure("revocation_"+q.name, report.Called, q.q, goal) // from the call to the last answer that lets in
			figure("revocation_after_the_answer_"+q.name, report.After, q.q, 0)
			figure("reference_creation_everywhere_"+q.name, report.Created, q.q, 0)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "revocation:", err)
		os.Exit(1)
	}
}

// figure prints one, and its goal in ms; 0: it has none. A goal missed is told,
// and fails nothing.
func figure(name string, times []time.Duration, q float64, goal int) {
	if len(times) == 0 {
		return
	}
	ms := float64(chaos.Quantile(times, q)) / float64(time.Millisecond)
	line := fmt.Sprintf("figure: %s %.1f ms", name, ms)
	if goal > 0 {
		line += fmt.Sprintf(" goal <= %d", goal)
		if ms > float64(goal) {
			line += " (missed)"
		}
	}
	fmt.Println(line)
}
