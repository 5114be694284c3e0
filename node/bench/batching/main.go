package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/lotabots/lotabots/node/client"
	"github.com/lotabots/lotabots/node/dev"
)

type settings struct {
	binary string
	model  string // GGUF; empty: the demonstration's
	rounds int
	load   time.Duration // of each measurement
}

func main() {
	var s settings
	flag.StringVar(&s.binary, "binary", "bin/lotabots", "the lotabots executable")
	flag.StringVar(&s.model, "model", "", "a GGUF to embed with; empty: the demonstration's")
	flag.IntVar(&s.rounds, "rounds", 5, "rounds; figures are medians over them")
	flag.DurationVar(&s.load, "load", 2*time.Second, "length of a measurement")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, s)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	n, err := start(ctx, s)
	if err != nil {
		return err
	}
	defer n.stop()
	fmt.Printf("%d rounds of %v; generator, gateway and engines share %d CPUs: compare ratios only\n\n", s.rounds, s.load, runtime.NumCPU())
	for _, c := range cases {
		var together, apart []measurement
		for round := range s.rounds + 1 { // the first one warms up
			for turn := range 2 { // another order each time
				name, to := batched, &together
				if (turn+round)%2 == 1 {
					name, to = single, &apart
				}
				m, err := n.measure(ctx, name, c, s.load)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", c.name, name, err)
				}
				if round > 0 {
					*to = append(*to, m)
				}
			}
		}
		for _, line := range c.lines(together, apart) {
			fmt.Println(line)
		}
	}
	return nil
}

// Names of the deployments.
const (
	batched = "together"
	single  = "apart"
)

// A node is a cluster of one, which this process ends.
type node struct {
	api, key string
	dir      string
	process  *exec.Cmd
	web      *http.Client
}

const startLimit = 3 * time.Minute

// start runs a node with both deployments, and waits until both answer.
func start(ctx context.Context, s settings) (n *node, err error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	n = &node{web: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}}
	defer func() {
		if err != nil {
			n.stop()
		}
	}()
	if n.dir, err = os.MkdirTemp("", "lotabots-batching-"); err != nil {
		return n, err
	}
	var out bytes.Buffer
	n.process = exec.Command(s.binary, "dev", "--nodes", "1", "--regions", "local", "--no-demo", "--data", n.dir, "--engine", "embedded")
	n.process.Stdout, n.process.Stderr = &out, &out
	if err = n.process.Start(); err != nil {
		return n, fmt.Errorf("%w: run make build first", err)
	}
	var f *dev.File
	for f == nil {
		if f, err = dev.Load(n.dir); err == nil {
			break
		}
		if err = pause(ctx); err != nil {
			return n, fmt.Errorf("lotabots dev does not serve:\n%s", out.String())
		}
	}
	n.api, n.key = f.Nodes[0].API, f.AdminKey
	model := f.Deployment
	if s.model != "" {
		model = "bench"
		raw, err := exec.CommandContext(ctx, s.binary, "models", "import", s.model, "--name", model, "--data", n.dir).CombinedOutput()
		if err != nil {
			return n, fmt.Errorf("%w: %s", err, raw)
		}
	}
	api := client.New(n.key, n.api)
	for name, option := range map[string]string{batched: "on", single: "off"} {
		wanted := map[string]any{"engine": "embedded", "model": model, "options": map[string]string{"batching": option, "embeddings": "on"}, "replicas": 1, "context": 512}
		if err := api.Do(ctx, http.MethodPut, "/admin/v1/deployments/"+name, wanted, nil); err != nil {
			return n, err
		}
		for n.ask(ctx, name, texts(short, 0)) != nil {
			if err := pause(ctx); err != nil {
				return n, fmt.Errorf("%s does not answer: %w", name, n.ask(context.WithoutCancel(ctx), name, texts(short, 0)))
			}
		}
	}
	return n, nil
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(50 * time.Millisecond):
		return nil
	}
}

func (n *node) stop() {
	if n.process != nil && n.process.Process != nil {
		_ = n.process.Process.Signal(syscall.SIGINT)
		_ = n.process.Wait()
	}
	n.web.CloseIdleConnections()
	if filepath.IsAbs(n.dir) {
		_ = os.RemoveAll(n.dir)
	}
}
