package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/actors/device/nvml"
)

func devicesCommand() *cobra.Command {
	var watch bool
	var every time.Duration
	c := &cobra.Command{
		Use: "devices", Short: "List the GPUs that NVML sees, one JSON object a line", Args: cobra.NoArgs,
		Long: "Lists the GPUs that NVML sees, one JSON object a line; nothing on a machine without.\n" +
			"With --watch, a line per GPU at each interval.",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM, os.Interrupt)
			defer stop()
			out := json.NewEncoder(c.OutOrStdout())
			err := nvml.List(ctx, watch, every, func(d nvml.Device) error { return out.Encode(d) })
			if errors.Is(err, nvml.ErrNotCompiled) { // no GPUs then, which is no failure, but must be known
				_, err = fmt.Fprintln(c.ErrOrStderr(), "lotabots-engine:", err)
			}
			return err
		},
	}
	c.Flags().BoolVar(&watch, "watch", false, "go on, a line per GPU at each interval")
	c.Flags().DurationVar(&every, "interval", time.Second, "between two readings")
	return c
}
