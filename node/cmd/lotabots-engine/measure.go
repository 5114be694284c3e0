package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/actors/llamacpp"
	"github.com/lotabots/lotabots/actors/llamacpp/library"
	"github.com/lotabots/lotabots/actors/llamacpp/tuning"
)

// tooLong ends a measurement that hangs, or whose model takes long to load.
const tooLong = 20 * time.Second

func measureCommand() *cobra.Command {
	var config llamacpp.Config
	var libraries string
	var within time.Duration
	c := &cobra.Command{
		Use: "measure --model FILE", Short: "Measure how fast a model is on this processor, one JSON object a line", Args: cobra.NoArgs,
		Long: "Measures how fast a model is on this processor by one variant of llama.cpp's libraries, for each\n" +
			"number of threads worth trying. serve does so at a first start, and keeps what it found.",
		RunE: func(c *cobra.Command, _ []string) error {
			dir, err := library.Find(libraries)
			if err != nil {
				return err
			}
			config.Libraries = dir
			out := json.NewEncoder(c.OutOrStdout())
			return llamacpp.Measure(config, within, func(r tuning.Result) error { return out.Encode(r) })
		},
	}
	f := c.Flags()
	f.StringVar(&config.Model, "model", "", "path of the GGUF")
	f.StringVar(&config.Variant, "variant", "", "of the libraries; default: llama.cpp's choice")
	f.StringVar(&libraries, "libraries", "", "directory of llama.cpp's libraries; default: "+library.EnvDir+", then the cache")
	f.DurationVar(&within, "within", 2*time.Second, "how long to measure, the load not counted")
	if err := c.MarkFlagRequired("model"); err != nil {
		panic(err)
	}
	return c
}

// measurer runs this very executable for each variant. A variant that does not run here has no results,
// and neither has a measurement cut off before its first.
func measurer(model, libraries string) tuning.Measurer {
	return func(ctx context.Context, variant string, within time.Duration) []tuning.Result {
		self, err := os.Executable()
		if err != nil {
			return nil
		}
		ctx, cancel := context.WithTimeout(ctx, tooLong)
		defer cancel()
		c := exec.CommandContext(ctx, self, "measure", "--model", model, "--libraries", libraries, "--variant", variant, "--within", within.String())
		var out bytes.Buffer
		c.Stdout = &out
		_ = c.Run() // what it said before it failed was measured all the same
		return tuning.Results(out.Bytes())
	}
}
