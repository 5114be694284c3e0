package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
)

func main() {
	keys := flag.Int("keys", 1_000_000, "API keys in the table")
	rounds := flag.Int("rounds", 15, "rounds of each measurement")
	flag.Parse()
	fmt.Printf("%d keys, %d rounds, %s, %d CPUs\n\n", *keys, *rounds, runtime.Version(), runtime.NumCPU())
	var out []figure
	for _, part := range []func() ([]figure, error){
		func() ([]figure, error) { return measureKeys(*keys, *rounds) },
		func() ([]figure, error) { return measureDecisions(*rounds) },
		func() ([]figure, error) { return measureTokens(*rounds) },
	} {
		figures, err := part()
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		out = append(out, figures...)
	}
	for _, f := range out {
		fmt.Println(f)
	}
}
