package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/chaos"
)

func chaosCommand() *cobra.Command {
	c := &cobra.Command{Use: "chaos", Short: "Break a cluster on purpose, and check what its clients saw"}
	c.AddCommand(chaosRunCommand())
	return c
}

func chaosRunCommand() *cobra.Command {
	o := chaos.Config{}
	var faults []string
	c := &cobra.Command{
		Use:   "run",
		Short: "Run faults against a loaded cluster and report which promises held; fails if one did not",
		Args:  cobra.NoArgs,
		Long: `Run starts a cluster of its own on this machine, loads it with inference and
with operations on keys, breaks it by the plan of the seed, and judges what the
clients saw. The report names the command that replays the run.

With --attach it breaks a dev cluster that runs already. Each of its nodes must
say in its own node.yaml, under chaos, allow: true.`,
		RunE: func(c *cobra.Command, _ []string) error {
			binary, err := os.Executable()
			if err != nil {
				return err
			}
			for _, f := range faults {
				o.Faults = append(o.Faults, chaos.Kind(f))
			}
			o.Binary, o.Out = binary, c.OutOrStdout()
			if o.Report == "" {
				o.Report = filepath.Join("data", "chaos", fmt.Sprintf("seed-%d-%s", o.Seed, time.Now().Format("20060102-150405")))
			}
			return runChaos(c, o)
		},
	}
	f := c.Flags()
	f.Int64Var(&o.Seed, "seed", 1, "chooses faults, victims and times; the same seed makes the same plan")
	f.DurationVar(&o.Duration, "duration", time.Minute, "of the load")
	f.StringSliceVar(&faults, "faults", nil, "kinds of faults: kill, stop, cut, power (default: kill, stop, and cut in a cluster of its own)")
	f.IntVar(&o.Nodes, "nodes", 3, "nodes of the cluster")
	f.StringSliceVar(&o.Regions, "regions", []string{"north", "south"}, "regions to spread the nodes over")
	f.StringVar(&o.Data, "data", "", "directory to keep the cluster in; empty: a fresh one, kept only if something was broken")
	f.StringVar(&o.Attach, "attach", "", "directory of a dev cluster that runs already")
	f.StringVar(&o.Engine, "engine", "embedded", "engine of the real model beside the mock; none: only the mock")
	f.IntVar(&o.Patience, "patience", 1, "how many times the promised times count, on a machine that has other things to do")
	f.StringVar(&o.Report, "report", "", "directory for the report; default: data/chaos/seed-N-TIME")
	return c
}

func runChaos(c *cobra.Command, o chaos.Config) error {
	report, err := chaos.Run(c.Context(), o)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "\n%s\nreport: %s\n", report.Markdown(), filepath.Join(o.Report, "report.html"))
	if !report.Sound() {
		return fmt.Errorf("%d breaches of what LotaBots promises (seed %d); replay with\n  %s", len(report.Violations()), o.Seed, report.Replay)
	}
	return nil
}
