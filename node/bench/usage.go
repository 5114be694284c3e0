package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"text/tabwriter"
	"time"
)

// The ways to write usage, as of api.usage.
var ledgerModes = []string{"off", "journal", "durable"}

// A settling is one round with one way to write usage.
type settling struct {
	alone, alone99 time.Duration // p50 and p99 with one connection
	many, many99   time.Duration // with many connections
	rate           float64       // requests/s then, each a record
}

// benchUsage measures a node for each mode, all before the same engine, in rounds
// one after the other.
func benchUsage(ctx context.Context, s settings) (err error) {
	p := &parts{}
	defer p.stop()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if p.fast, _, err = p.serve(self, "mock"); err != nil {
		return err
	}
	targets := make([]target, len(ledgerModes))
	for i, mode := range ledgerModes {
		q := &parts{fast: p.fast, paced: p.fast}
		defer q.stop()
		starting, cancel := context.WithTimeout(ctx, startLimit)
		err := q.startCluster(starting, s.binary, "LOTABOTS_API_USAGE="+mode)
		if err == nil {
			err = q.deploy(starting)
		}
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", mode, err)
		}
		targets[i] = target{q.lota, fastModel, q.key}
		if err := targets[i].await(); err != nil {
			return fmt.Errorf("%s: %w", mode, err)
		}
	}
	rounds := make([][]settling, len(ledgerModes))
	for round := range s.rounds {
		for i := range ledgerModes {
			at := (i + round) % len(ledgerModes)
			m, err := settle(ctx, targets[at], s)
			if err != nil {
				return fmt.Errorf("%s: %w", ledgerModes[at], err)
			}
			rounds[at] = append(rounds[at], m)
		}
	}
	settlingTable(rounds, s.rounds)
	for _, f := range settlingFigures(rounds[0], rounds[1], rounds[2]) {
		fmt.Println(f)
	}
	return nil
}

// await waits until the target answers, and lets caches and pools fill.
func (t target) await() error {
	c := t.connect(false)
	defer c.close()
	err := errors.New("never asked")
	for end := time.Now().Add(startLimit); err != nil && time.Now().Before(end); {
		if err = c.send(); err != nil {
			time.Sleep(20 * time.Millisecond)
		}
	}
	if err == nil {
		_, _, err = closedLoop(context.Background(), t, manyConnections, 300*time.Millisecond)
	}
	return err
}

func settle(ctx context.Context, t target, s settings) (m settling, err error) {
	one, err := closedLoops(ctx, t, 1, s.single)
	if err != nil {
		return m, err
	}
	began := time.Now()
	all, err := closedLoops(ctx, t, manyConnections, s.load)
	if err != nil {
		return m, err
	}
	return settling{quantile(one, 0.5), quantile(one, 0.99), quantile(all, 0.5), quantile(all, 0.99), float64(len(all)) / time.Since(began).Seconds()}, nil
}

// settlingFigures are medians over the rounds of what the ledger adds. The goals of the durable way are
// a sync of an ordinary disk: a request of a model takes a hundred times as long.
func settlingFigures(off, journal, durable []settling) []figure {
	added := func(with []settling, of func(settling) time.Duration) float64 {
		var values []float64
		for i := range off {
			values = append(values, milliseconds(of(with[i])-of(off[i])))
		}
		return quantile(values, 0.5)
	}
	var rate []float64
	for _, m := range durable {
		rate = append(rate, m.rate)
	}
	return []figure{
		{"usage_journal_p50_added", added(journal, func(m settling) time.Duration { return m.alone }), "ms", "<=", 0.05},
		{"usage_journal_p50_added_64_connections", added(journal, func(m settling) time.Duration { return m.many }), "ms", "<=", 1},
		{"usage_p50_added", added(durable, func(m settling) time.Duration { return m.alone }), "ms", "<=", 10},
		{"usage_p99_added", added(durable, func(m settling) time.Duration { return m.alone99 }), "ms", "<=", 50},
		{"usage_p50_added_64_connections", added(durable, func(m settling) time.Duration { return m.many }), "ms", "<=", 20},
		{"usage_p99_added_64_connections", added(durable, func(m settling) time.Duration { return m.many99 }), "ms", "<=", 50},
		{"usage_records_per_second", quantile(rate, 0.5), "/s", ">=", 1000},
	}
}

func settlingTable(rounds [][]settling, n int) {
	fmt.Printf("%d rounds; generator, engine and nodes share %d CPUs and a disk\n\n", n, runtime.NumCPU())
	w := tabwriter.NewWriter(os.Stdout, 0, 2, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "medians, api.usage\t")
	for _, mode := range ledgerModes {
		fmt.Fprintf(w, "%s\t", mode)
	}
	fmt.Fprintln(w)
	for _, row := range []struct {
		name string
		of   func(settling) float64
	}{
		{"p50, 1 connection, ms", func(m settling) float64 { return milliseconds(m.alone) }}, {"p99", func(m settling) float64 { return milliseconds(m.alone99) }},
		{"p50, 64 connections, ms", func(m settling) float64 { return milliseconds(m.many) }}, {"p99", func(m settling) float64 { return milliseconds(m.many99) }},
		{"requests/s", func(m settling) float64 { return m.rate }},
	} {
		fmt.Fprintf(w, "%s\t", row.name)
		for _, r := range rounds {
			var values []float64
			for _, m := range r {
				values = append(values, row.of(m))
			}
			fmt.Fprintf(w, "%.2f\t", quantile(values, 0.5))
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush()
	fmt.Println()
}
