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
	c := chaos.FailoverConfig{Out: os.Stderr}
	flag.StringVar(&c.Binary, "binary", "bin/lotabots", "the lotabots executable")
	flag.IntVar(&c.Nodes, "nodes", 3, "nodes of the cluster")
	flag.IntVar(&c.Kills, "kills", 30, "kills of the leader")
	flag.IntVar(&c.Transfers, "transfers", 20, "planned transfers of the leadership")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	report, err := chaos.Failover(ctx, c)
	stop()
	if report != nil {
		fmt.Printf("%d kills and %d transfers of the leader of %d nodes on one machine, which also runs the clients\n", len(report.Kills), len(report.Transfers), c.Nodes)
		figure("failover_p50", report.Kills, 0.5, 0)
		figure("failover_p99", report.Kills, 0.99, 2000)
		figure("failover_on_every_node_p50", report.Everywhere, 0.5, 0)
		figure("failover_on_every_node_p99", report.Everywhere, 0.99, 0)
		figure("planned_transfer_p50", report.Transfers, 0.5, 0)
		figure("planned_transfer_p99", report.Transfers, 0.99, 200)
		figure("planned_transfer_gap_p50", report.Gaps, 0.5, 0)
		figure("planned_transfer_gap_p99", report.Gaps, 0.99, 200)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "failover:", err)
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
