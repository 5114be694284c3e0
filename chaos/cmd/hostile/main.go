package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/lotabots/lotabots/chaos"
)

func main() {
	c := chaos.HostileConfig{Out: os.Stderr}
	flag.StringVar(&c.Binary, "binary", "bin/lotabots", "the lotabots executable")
	flag.IntVar(&c.Idle, "idle", 10_000, "idle connections")
	flag.IntVar(&c.Slow, "slow", 200, "slow readers, and slow writers")
	flag.IntVar(&c.Floods, "floods", 20, "connections of each flood")
	flag.DurationVar(&c.Beset, "beset", 75*time.Second, "length of the attack")
	flag.DurationVar(&c.Alone, "alone", 10*time.Second, "length of the measurement before it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	report, err := chaos.Hostile(ctx, c)
	stop()
	if report != nil {
		show(report, c.Idle)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hostile:", err)
		os.Exit(1)
	}
}

func show(r *chaos.HostileReport, idle int) {
	for _, kind := range slices.Sorted(maps.Keys(r.Told)) {
		fmt.Printf("%s:", kind)
		for _, what := range slices.Sorted(maps.Keys(r.Told[kind])) {
			fmt.Printf(" %d x %s;", r.Told[kind][what], what)
		}
		fmt.Println()
	}
	fmt.Printf("at the end %d slow readers of streams were there; %v after they left the node had its files back\n", r.Readers, r.Recovered.Round(time.Millisecond))
	fmt.Printf("figure: hostile_idle_opened %d connections goal >= %d%s\n", r.Opened, idle, missed(r.Opened < idle))
	fmt.Printf("figure: hostile_idle_held %d connections goal >= %d%s\n", r.Idle, idle, missed(r.Idle < idle))
	for i, what := range r.Failed {
		if i < 5 {
			fmt.Printf("an ordinary request failed: %s\n", what)
		}
	}
	mb := func(n int64) float64 { return float64(n) / (1 << 20) }
	figure("hostile_memory_before", mb(r.MemoryAt), "MiB", 0)
	figure("hostile_memory_peak", mb(r.MemoryMax), "MiB", 1024)
	if len(r.Alone) == 0 || len(r.Beset) == 0 {
		return
	}
	ms := func(times []time.Duration, q float64) float64 {
		return float64(chaos.Quantile(times, q)) / float64(time.Millisecond)
	}
	figure("ordinary_alone_p50", ms(r.Alone, 0.5), "ms", 0)
	figure("ordinary_alone_p99", ms(r.Alone, 0.99), "ms", 0)
	figure("ordinary_beset_p50", ms(r.Beset, 0.5), "ms", 0)
	figure("ordinary_beset_p99", ms(r.Beset, 0.99), "ms", 0)
	figure("ordinary_beset_p99_ratio", ms(r.Beset, 0.99)/ms(r.Alone, 0.99), "times", 0)
	fmt.Printf("figure: ordinary_failed %d of %d goal <= 0\n", len(r.Failed), len(r.Alone)+len(r.Beset))
}

// figure prints one, and its goal; 0: it has none. A goal missed is told, and fails nothing.
func figure(name string, value float64, unit string, goal float64) {
	line := fmt.Sprintf("figure: %s %.1f %s", name, value, unit)
	if goal > 0 {
		line += fmt.Sprintf(" goal <= %g", goal) + missed(value > goal)
	}
	fmt.Println(line)
}

func missed(is bool) string {
	if is {
		return " (missed)"
	}
	return ""
}
