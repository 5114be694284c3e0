package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/gateway"
	"github.com/lotabots/lotabots/node"
	"github.com/lotabots/lotabots/node/client"
	"github.com/lotabots/lotabots/node/config"
)

func nodeCommand() *cobra.Command {
	c := &cobra.Command{Use: "node", Short: "Run this machine's node; show, drain, resume and remove nodes"}
	c.AddCommand(nodeRunCommand())
	for _, sub := range []*cobra.Command{nodeShowCommand(), nodeDrainCommand(), nodeResumeCommand(), nodeReloadCommand(), nodeRemoveCommand()} {
		c.AddCommand(sub)
	}
	return c
}

func nodeRunCommand() *cobra.Command {
	follow := 0
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the node of a data directory until SIGTERM, which drains it",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := memberConfig(c)
			if err != nil {
				return err
			}
			return runNode(c.Context(), c, cfg, follow)
		},
	}
	config.AddFlags(c.Flags())
	c.Flags().IntVar(&follow, "follow-pid", 0, "shut down when this process has ended")
	_ = c.Flags().MarkHidden("follow-pid")
	return c
}

// memberConfig reads a member's file, then the environment and the flags.
func memberConfig(c *cobra.Command) (config.Config, error) {
	file := node.ConfigFile(dataFlag(c))
	if _, err := os.Stat(file); err != nil {
		if cut := node.CheckWhole(dataFlag(c)); cut != nil {
			return config.Config{}, cut
		}
		return config.Config{}, fmt.Errorf("%w: %s is not a member's data directory; make a cluster with lotabots init, or join one with lotabots join", err, dataFlag(c))
	}
	return config.Load(config.Sources{File: file, Env: os.LookupEnv, Flags: c.Flags()})
}

// dataFlag is the data directory before any file is read.
func dataFlag(c *cobra.Command) string {
	if f := c.Flags().Lookup("data"); f != nil && f.Changed {
		return f.Value.String()
	}
	if dir, ok := os.LookupEnv("LOTABOTS_NODE_DATA"); ok {
		return dir
	}
	return config.Default().Node.Data
}

// lastGrace is how long a shutdown may take beyond the time for running requests.
const lastGrace = 15 * time.Second

// runNode runs the node of c's flags until ctx ends or the process follow (0:
// none) has. SIGHUP has it reload.
func runNode(ctx context.Context, c *cobra.Command, cfg config.Config, follow int) error {
	var collecting sync.WaitGroup
	defer collecting.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if follow > 0 {
		go func() {
			awaitEnd(ctx, follow)
			cancel()
		}()
	}
	collecting.Go(func() { collect(ctx) })
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	n, err := node.Start(ctx, cfg, version, os.Stderr, node.Environment(os.Environ()), node.LoadedBy(func() (config.Config, error) { return memberConfig(c) }))
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-n.Halted():
			cancel()
		case <-hangup:
			_, _ = n.Reload() // which logs what it finds
		}
	}
	closing, stop := context.WithTimeout(context.Background(), n.Running().API.ShutdownIn+n.Running().API.DrainNotice+lastGrace)
	defer stop()
	err = n.Shutdown(closing)
	select {
	case <-n.Halted():
		return n.HaltReason()
	default:
		return err
	}
}

func nodeDrainCommand() *cobra.Command {
	c := &cobra.Command{Use: "drain ID", Short: "Give a node no new work; returns when what runs there has finished", Args: cobra.ExactArgs(1)}
	flags := where(c)
	limit := c.Flags().Duration("timeout", 10*time.Minute, "how long to wait for what runs")
	c.RunE = func(c *cobra.Command, args []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		if err := api.Do(c.Context(), "POST", "/admin/v1/nodes/"+args[0]+"/drain", nil, nil); err != nil {
			return err
		}
		running, err := awaitDrained(c.Context(), api, args[0], *limit)
		if err != nil {
			return err
		}
		if running > 0 {
			return fmt.Errorf("node %s is drained, but %d requests still run there after %v: wait longer, or restart it and cut them off", args[0], running, *limit)
		}
		fmt.Fprintf(c.OutOrStdout(), "%s drained; nothing runs there. A restart ends the drain, lotabots node resume takes it back\n", args[0])
		return nil
	}
	return c
}

// awaitDrained polls until the node's devices say that they drain and that
// nothing runs there, and returns how many requests still do.
func awaitDrained(ctx context.Context, api *client.Client, id string, limit time.Duration) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		var s gateway.Status
		if err := api.Do(ctx, "GET", "/admin/v1/status", nil, &s); err != nil {
			return 0, err
		}
		running, taking := 0, false
		for _, d := range s.Devices {
			taking = taking || d.Node == id && !d.Draining
		}
		for _, i := range s.Instances {
			if i.Node == id {
				running += int(i.Running)
			}
		}
		dead := slices.ContainsFunc(s.Nodes, func(n gateway.NodeStatus) bool { return n.ID == id && !n.Alive })
		if dead || running == 0 && !taking {
			return 0, nil
		}
		select {
		case <-ctx.Done():
			return running, nil
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func nodeResumeCommand() *cobra.Command {
	c := &cobra.Command{Use: "resume ID", Short: "Take a drain back", Args: cobra.ExactArgs(1)}
	flags := where(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		if err := api.Do(c.Context(), "POST", "/admin/v1/nodes/"+args[0]+"/resume", nil, nil); err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "%s takes work again\n", args[0])
		return nil
	}
	return c
}

func nodeRemoveCommand() *cobra.Command {
	holder := &cobra.Command{}
	flags := where(holder)
	c := removeCommand(flags, "rm ID", "Remove a node for good; its certificate is refused from then on", "/admin/v1/nodes/", "removed")
	c.Flags().AddFlagSet(holder.PersistentFlags())
	return c
}
