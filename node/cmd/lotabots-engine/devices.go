package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
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
		Long: "Lists the GPUs, and the slices of those in MIG mode, that NVML sees, one JSON object a line; nothing on a\n" +
			"machine without. With --watch, a line per GPU at each interval, and one for each fault (Xid) that the driver reports.",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM, os.Interrupt)
			defer stop()
			out := &printer{to: json.NewEncoder(c.OutOrStdout())}
			var err error
			if watch {
				err = nvml.Watch(ctx, every, out.told())
			} else {
				err = nvml.List(func(d nvml.Device) error { return out.print(d) })
			}
			return withoutNVML(c.ErrOrStderr(), err)
		},
	}
	c.Flags().BoolVar(&watch, "watch", false, "go on, a line per GPU at each interval")
	c.Flags().DurationVar(&every, "interval", time.Second, "between two readings")
	return c
}

// withoutNVML takes a build that sees no GPUs for a machine that has none, which is no failure, but must be known.
func withoutNVML(complain io.Writer, err error) error {
	if errors.Is(err, nvml.ErrNotCompiled) {
		_, err = fmt.Fprintln(complain, "lotabots-engine:", err)
	}
	return err
}

// A printer writes whole lines, for any goroutine. A line that tells no device's state has one field
// of another name and no UUID, so that a reader who does not know it leaves it aside.
type printer struct {
	mu sync.Mutex // guards to
	to *json.Encoder
}

func (p *printer) print(v any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.to.Encode(v)
}

func (p *printer) told() nvml.Told {
	return nvml.Told{
		Device: func(d nvml.Device) error { return p.print(d) },
		Event:  func(e nvml.Event) error { return p.print(map[string]any{"event": e}) },
		Watching: func(uuids []string, why error) error {
			w := map[string]any{"uuids": uuids}
			if why != nil {
				w["why"] = why.Error()
			}
			return p.print(map[string]any{"watching": w})
		},
	}
}
