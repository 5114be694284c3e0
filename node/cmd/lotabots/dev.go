package main

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/node/dev"
)

func devCommand() *cobra.Command {
	o := dev.Options{}
	noDemo := false
	var links []string
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run a whole cluster on this machine, with a small model, until Ctrl-C",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.Nodes < 1 || o.Nodes > 9 {
				return fmt.Errorf("--nodes %d: want 1 to 9", o.Nodes)
			}
			if len(o.Regions) == 0 || slices.Contains(o.Regions, "") {
				return fmt.Errorf("--regions %q: want names with commas between them, such as north,south", strings.Join(o.Regions, ","))
			}
			var err error
			if o.Engine, err = dev.ChooseEngine(o.Engine); err != nil {
				return err
			}
			if o.Engine == "external" && o.EngineURL == "" {
				return fmt.Errorf("--engine external needs --engine-url")
			}
			if len(o.Regions) > o.Nodes {
				o.Regions = o.Regions[:o.Nodes]
			}
			for _, text := range links {
				l, err := dev.ParseLink(text)
				if err != nil {
					return err
				}
				o.Links = append(o.Links, l)
			}
			if o.Binary, err = os.Executable(); err != nil {
				return err
			}
			o.Demo, o.Out = !noDemo, c.OutOrStdout()
			// Whoever reads our output may leave; the nodes are not to be left behind for that.
			signal.Ignore(syscall.SIGPIPE)
			return dev.Run(c.Context(), o)
		},
	}
	c.Flags().IntVar(&o.Nodes, "nodes", 3, "node processes to run")
	c.Flags().StringSliceVar(&o.Regions, "regions", []string{"north", "south"}, "regions to spread the nodes over")
	c.Flags().StringVar(&o.Data, "data", "", "directory to keep the cluster in; empty: a fresh one, removed at the end")
	c.Flags().BoolVar(&noDemo, "no-demo", false, "do not print the demonstration")
	c.Flags().StringVar(&o.Engine, "engine", "", "engine that serves the model: embedded, ollama, llama-server, external; default: the first of these that this machine has")
	c.Flags().StringVar(&o.EngineURL, "engine-url", "", "URL of an external engine")
	c.Flags().StringArrayVar(&links, "link", nil, "LISTEN=ADVERTISE of a node's cluster port, one for each node: for a harness that stands between them")
	_ = c.Flags().MarkHidden("link")
	c.AddCommand(devRestartCommand())
	return c
}

func devRestartCommand() *cobra.Command {
	data := ""
	c := &cobra.Command{
		Use:   "restart NODE",
		Short: "Start a killed node of a dev cluster again, or restart a living one",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			binary, err := os.Executable()
			if err != nil {
				return err
			}
			n, err := dev.Restart(c.Context(), binary, data, args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "node %s is ready again, process %d\n", n.ID, n.PID)
			return nil
		},
	}
	c.Flags().StringVar(&data, "data", "", "directory of the dev cluster")
	_ = c.MarkFlagRequired("data")
	return c
}
