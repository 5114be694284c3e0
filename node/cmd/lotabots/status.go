package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/gateway"
	"github.com/lotabots/lotabots/node/client"
)

// watchEvery is the time between two looks of status --watch.
const watchEvery = time.Second

func statusCommand() *cobra.Command {
	c := &cobra.Command{Use: "status", Short: "Show nodes, leader, devices, instances and load", Args: cobra.NoArgs}
	flags, format := where(c), output(c)
	watch := c.Flags().BoolP("watch", "w", false, "show it again each second, with how far loads are, until it is interrupted")
	c.RunE = func(c *cobra.Command, _ []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		if !*watch {
			return showStatus(c.Context(), c, api, *format)
		}
		ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		return watchStatus(ctx, c, api, *format)
	}
	return c
}

func showStatus(ctx context.Context, c *cobra.Command, api *client.Client, format string) error {
	var raw json.RawMessage
	if err := api.Do(ctx, "GET", "/admin/v1/status", nil, &raw); err != nil {
		return err
	}
	var s gateway.Status
	if err := json.Unmarshal(raw, &s); err != nil {
		return err
	}
	return show(c, format, raw, func(w io.Writer) { statusTable(w, s) })
}

// clearScreen empties a terminal.
const clearScreen = "\x1b[H\x1b[2J"

// watchStatus shows the status until ctx ends. A node that does not answer for a while is no reason to stop.
func watchStatus(ctx context.Context, c *cobra.Command, api *client.Client, format string) error {
	for first := true; ; first = false {
		if format == "table" {
			fmt.Fprint(c.OutOrStdout(), clearScreen, time.Now().Format(time.TimeOnly), "\n")
		}
		err := showStatus(ctx, c, api, format)
		if err != nil && ctx.Err() == nil {
			if first {
				return err
			}
			fmt.Fprintln(c.ErrOrStderr(), err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchEvery):
		}
	}
}
