package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"

	"github.com/lotabots/lotabots/actors/llamacpp/library"
)

func main() {
	var s setup
	flag.StringVar(&s.helper, "helper", "bin/lotabots-engine", "the engine")
	flag.StringVar(&s.server, "llama-server", "", "llama.cpp's server; default: the one that -install built, then the PATH's")
	flag.StringVar(&s.model, "model", "node/demo/lota-tiny.gguf", "the GGUF that both serve")
	flag.StringVar(&s.variant, "variant", "haswell", "build of the engine's code for the CPU; llama-server's has AVX2, as this one has")
	flag.IntVar(&s.threads, "threads", 0, "threads; 0: what lotabots-engine has measured here")
	rounds := flag.Int("rounds", 7, "rounds of each measurement")
	tokens := flag.Int("tokens", 300, "tokens of each answer")
	build := flag.Bool("install", false, "fetch and build llama-server (some minutes, once) if it is not there")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, &s, *rounds, *tokens, *build); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

func run(ctx context.Context, s *setup, rounds, tokens int, build bool) error {
	if build {
		if err := install(ctx); err != nil {
			return err
		}
	}
	if err := s.complete(ctx); err != nil {
		return err
	}
	fmt.Printf("llama.cpp %s, variant %s, %d threads of %d CPUs, %d slots; %d rounds of answers of %d tokens\n\n",
		library.Release, s.variant, s.threads, runtime.NumCPU(), slots, rounds, tokens)
	ours, err := s.startOurs(ctx)
	if err != nil {
		return err
	}
	defer ours.stop()
	theirs, err := s.startTheirs(ctx)
	if err != nil {
		return err
	}
	defer theirs.stop()
	figures, err := compare(ctx, ours, theirs, rounds, tokens)
	for _, f := range figures {
		fmt.Println(f)
	}
	return err
}
