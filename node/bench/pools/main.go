package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
)

// packages are those that have pools on a request's way.
var packages = []string{
	"./gateway", "./gateway/openai", "./gateway/chat", "./gateway/canonical", "./gateway/coding", "./gateway/relay",
	"./cluster/infer", "./cluster/transport", "./actors", "./actors/engine", "./actors/engine/hop", "./storage/usage",
}

func main() {
	rounds := flag.Int("rounds", 3, "rounds; figures are medians over them")
	time := flag.String("time", "100ms", "length of each measurement")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *rounds, *time)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "pools:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds int, each string) error {
	all := measured{}
	for range rounds {
		c := exec.CommandContext(ctx, "go", append([]string{"test", "-run", "^$", "-bench", "^BenchmarkPool$", "-benchtime", each, "-count", "1", "-p", "1"}, packages...)...)
		var out bytes.Buffer
		c.Stdout, c.Stderr = &out, os.Stderr
		if err := c.Run(); err != nil {
			return fmt.Errorf("%w\n%s", err, out.Bytes())
		}
		if err := all.read(&out); err != nil {
			return err
		}
	}
	all.table(os.Stdout)
	for _, line := range all.figures() {
		fmt.Println(line)
	}
	return nil
}
