package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/lotabots/lotabots/chaos"
)

func main() {
	c := chaos.LeavingConfig{Out: os.Stderr}
	flag.StringVar(&c.Binary, "binary", "bin/lotabots", "the lotabots executable")
	flag.IntVar(&c.Times, "times", 100, "clients that leave, in each case")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	report, err := chaos.Leaving(ctx, c)
	stop()
	if report != nil {
		fmt.Printf("%d clients left in each case; gateway and engine are two processes of one machine, which also runs the clients\n", c.Times)
		for _, name := range chaos.LeavingCases {
			if len(report.Times[name]) > 0 {
				figures(name, report)
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "leaving:", err)
		os.Exit(1)
	}
}

// figures are until the work has ended. A goal missed is told, and fails nothing.
func figures(name string, report *chaos.LeavingReport) {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	times, figure := report.Times[name], strings.ReplaceAll(strings.ReplaceAll("cancel_"+name, ", ", "_"), " ", "_")
	if strings.HasPrefix(name, "running") {
		fmt.Printf("%s: looked at every %.1f ms at the slowest\n", name, ms(report.Polls[name]))
	}
	fmt.Printf("figure: %s_p50 %.1f ms\n", figure, ms(chaos.Quantile(times, 0.5)))
	p99, missed := ms(chaos.Quantile(times, 0.99)), ""
	if p99 > 100 {
		missed = " (missed)"
	}
	fmt.Printf("figure: %s_p99 %.1f ms goal <= 100%s\n", figure, p99, missed)
}
