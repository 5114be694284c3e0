package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/node/client"
)

// A canaryRow is a deployment's canary as the API shows it.
type canaryRow struct {
	Version    uint64 `json:"version"`
	Percent    uint32 `json:"percent"`
	Replicas   uint32 `json:"replicas"`
	Model      string `json:"model"`
	Engine     string `json:"engine"`
	JudgeAfter int64  `json:"judge_after_seconds"`
	BeganMS    int64  `json:"began_ms"`
}

// short tells of it in a column of the deployments.
func (c *canaryRow) short() string {
	if c == nil {
		return ""
	}
	return fmt.Sprintf("version %d, %d%%", c.Version, c.Percent)
}

func (c *canaryRow) judged() string {
	if c.JudgeAfter == 0 {
		return "by you"
	}
	return "after " + (time.Duration(c.JudgeAfter) * time.Second).String()
}

func canaryCommand() *cobra.Command {
	c := &cobra.Command{Use: "canary", Short: "Try another version of a deployment on a part of its requests"}
	flags := where(c)
	c.AddCommand(canarySetCommand(flags), canaryListCommand(flags),
		canaryEndCommand(flags, "promote NAME", "Have the deployment run what its canary runs", "POST", "/canary/promote", "runs what its canary ran"),
		canaryEndCommand(flags, "abort NAME", "Give the canary up; its instances drain and unload", "DELETE", "/canary", "goes on as it was"))
	return c
}

// A canaryWish is a canary as flags describe it. What no flag says is as the canary has it, or as the deployment does.
type canaryWish struct {
	percent, replicas, context, slots, gpus, requests uint32
	model, engine                                     string
	options, adapters                                 pairs
	memory                                            int64 // MiB
	onDemand                                          bool
	after                                             time.Duration
	failures, slower                                  float64
}

// body has the fields of those flags that were given.
func (w *canaryWish) body(c *cobra.Command) (map[string]any, error) {
	switch {
	case w.memory < 0 || w.memory > maxMemory:
		return nil, misused(c, fmt.Sprintf("--memory-mb must be from 0, which is for an estimate, to %d, a PiB", maxMemory))
	case w.after < 0 || w.after%time.Second != 0 || w.after > maxKeep:
		return nil, misused(c, "--judge-after must be whole seconds, up to a year; 0 leaves it to you")
	}
	residency := "always"
	if w.onDemand {
		residency = "on-demand"
	}
	out := map[string]any{}
	for flag, field := range map[string]struct {
		name  string
		value any
	}{
		"percent": {"percent", w.percent}, "replicas": {"replicas", w.replicas}, "model": {"model", w.model}, "engine": {"engine", w.engine},
		"option": {"options", w.options}, "context": {"context", w.context}, "slots": {"slots", w.slots}, "memory-mb": {"memory_bytes", uint64(w.memory) << 20},
		"on-demand": {"residency", residency}, "gpus": {"gpus", w.gpus}, "adapter": {"adapters", w.adapters},
		"judge-after": {"judge_after_seconds", int64(w.after.Seconds())}, "judge-requests": {"judge_requests", w.requests},
		"judge-failures": {"judge_failures", w.failures}, "judge-slower": {"judge_slower", w.slower},
	} {
		if c.Flags().Changed(flag) {
			out[field.name] = field.value
		}
	}
	return out, nil
}

func canarySetCommand(flags *client.Flags) *cobra.Command {
	w := canaryWish{options: pairs{}, adapters: pairs{}}
	c := &cobra.Command{
		Use:   "set NAME",
		Short: "Begin the deployment's canary, or change it",
		Long: `The canary runs beside the deployment and serves a part of its requests, under the same name. What no flag says is as the
canary has it, or as the deployment has it where there is none yet. With --judge-after it is promoted on its own when it has
served for so long and is no worse, and given up as soon as it is.

  lotabots canary set chat --model llama-4.1 --percent 5 --judge-after 30m
  lotabots canary set chat --percent 50
  lotabots canary promote chat`,
		Args: cobra.ExactArgs(1),
	}
	f := c.Flags()
	f.Uint32Var(&w.percent, "percent", 10, "of the deployment's requests; a session's are all of one version")
	f.Uint32Var(&w.replicas, "replicas", 1, "copies, beside the deployment's own")
	f.StringVar(&w.model, "model", "", "imported model")
	f.StringVar(&w.engine, "engine", "", "engine preset")
	f.Var(w.options, "option", "option of the preset, KEY=VALUE; may be repeated, and stands for all of them")
	f.Uint32Var(&w.context, "context", 0, "tokens per request; 0: the engine's default")
	f.Uint32Var(&w.slots, "slots", 0, "requests at a time per copy; 0: the engine's default")
	f.Int64Var(&w.memory, "memory-mb", 0, "memory to reserve per copy, MiB; 0: estimated")
	f.BoolVar(&w.onDemand, "on-demand", false, "residency once it is promoted; a canary is loaded as long as it is there")
	f.Uint32Var(&w.gpus, "gpus", 1, "devices of one node that a copy spreads over")
	f.Var(w.adapters, "adapter", "LoRA adapter, NAME=IMPORTED-MODEL; the names must be the deployment's; may be repeated, and stands for all of them")
	f.DurationVar(&w.after, "judge-after", 0, "promote it on its own after so long, and give it up as soon as it is worse; 0: you decide")
	f.Uint32Var(&w.requests, "judge-requests", 0, "with --judge-after: not judged before it has had so many; 0: 50")
	f.Float64Var(&w.failures, "judge-failures", 0, "with --judge-after: share by which it may fail more often than the version beside it; 0: 0.02")
	f.Float64Var(&w.slower, "judge-slower", 0, "with --judge-after: times the other's first byte, in the mean, that its own may take; 0: 1.5")
	force := f.Bool("force", false, "take an engine of the nodes' own that no living node has: its node comes later")
	c.RunE = func(c *cobra.Command, args []string) error {
		body, err := w.body(c)
		if err != nil {
			return err
		}
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		var got deploymentRow
		if err := api.Do(c.Context(), "PATCH", "/admin/v1/deployments/"+args[0]+"/canary"+forced(*force), body, &got); err != nil {
			return err
		}
		if got.Canary != nil {
			fmt.Fprintf(c.OutOrStdout(), "deployment %s, version %d, tries version %d on %d%% of its requests, judged %s; see its instances with lotabots status\n",
				args[0], got.Version, got.Canary.Version, got.Canary.Percent, got.Canary.judged())
		}
		return nil
	}
	return c
}

func canaryEndCommand(flags *client.Flags, use, short, method, path, done string) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(1), RunE: func(c *cobra.Command, args []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		var got deploymentRow
		if err := api.Do(c.Context(), method, "/admin/v1/deployments/"+args[0]+path, nil, &got); err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "deployment %s, version %d, %s\n", args[0], got.Version, done)
		return nil
	}}
}

func canaryListCommand(flags *client.Flags) *cobra.Command {
	c := &cobra.Command{Use: "ls", Short: "List the canaries that are there", Args: cobra.NoArgs}
	format := output(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		all, err := listWhere[deploymentRow](c, api, "/admin/v1/deployments", nil)
		if err != nil {
			return err
		}
		tried := []deploymentRow{}
		for _, d := range all {
			if d.Canary != nil {
				tried = append(tried, d)
			}
		}
		return show(c, *format, tried, func(w io.Writer) {
			row(w, "NAME", "VERSION", "CANARY", "PERCENT", "REPLICAS", "MODEL", "ENGINE", "JUDGED", "SINCE")
			for _, d := range tried {
				x := d.Canary
				row(w, d.Name, d.Version, x.Version, x.Percent, x.Replicas, x.Model, x.Engine, x.judged(), time.UnixMilli(x.BeganMS).Format(time.RFC3339))
			}
		})
	}
	return c
}
