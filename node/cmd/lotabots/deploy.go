package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/lotabots/lotabots/actors/engine/custom"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/node/client"
)

// A deploymentRow is a deployment as the API shows and takes it.
type deploymentRow struct {
	Name         string            `json:"name,omitempty"`
	Version      uint64            `json:"version,omitempty"`
	Model        string            `json:"model,omitempty"`
	Engine       string            `json:"engine,omitempty"`
	Options      map[string]string `json:"options,omitempty"`
	Replicas     uint32            `json:"replicas"`
	MinPerRegion uint32            `json:"min_per_region,omitempty"`
	Regions      []string          `json:"regions,omitempty"`
	Context      uint32            `json:"context,omitempty"`
	Slots        uint32            `json:"slots,omitempty"`
	MemoryBytes  uint64            `json:"memory_bytes,omitempty"`
	Residency    string            `json:"residency,omitempty"`
	KeepAlive    int64             `json:"keep_alive_seconds,omitempty"`
	MinResident  int64             `json:"min_resident_seconds,omitempty"`
	GPUs         uint32            `json:"gpus,omitempty"`
	Adapters     map[string]string `json:"adapters,omitempty"`
	Fallbacks    []string          `json:"fallbacks,omitempty"`
	Hedge        string            `json:"hedge,omitempty"`
	Placing      string            `json:"placing,omitempty"`
	ApartFrom    []string          `json:"apart_from,omitempty"`
	Nodes        []string          `json:"nodes,omitempty"`
	PreferNodes  []string          `json:"prefer_nodes,omitempty"`
	Cache        string            `json:"cache,omitempty"`
	CacheTTL     int64             `json:"cache_ttl_seconds,omitempty"`
	CacheBytes   uint64            `json:"cache_max_bytes,omitempty"`
	CacheScope   string            `json:"cache_scope,omitempty"`
	PerMinute    uint32            `json:"requests_per_minute,omitempty"`
	limitRow
	priceRow
	Scale  *spec.Scale `json:"scale,omitempty"`
	Canary *canaryRow  `json:"canary,omitempty"` // shown, not taken
}

// A wish is a deployment as flags describe it.
type wish struct {
	row         deploymentRow
	memory      int64 // MiB
	onDemand    bool
	keep, least time.Duration
	scale       scaleWish
	cacheTTL    time.Duration
	cacheMemory int64 // MiB
}

// flags adds those of all fields but the model.
func (w *wish) flags(f *pflag.FlagSet) {
	f.StringVar(&w.row.Engine, "engine", "embedded", "engine preset: embedded, ollama, llama-server, vllm, sglang, triton, external, or a name of the nodes' own")
	w.row.Options, w.row.Adapters = map[string]string{}, map[string]string{}
	f.Var(pairs(w.row.Options), "option", "option of the preset, KEY=VALUE; may be repeated. Such as url=http://HOST:PORT for external")
	f.Uint32Var(&w.row.Replicas, "replicas", 1, "copies to run")
	f.Uint32Var(&w.row.MinPerRegion, "min-per-region", 0, "copies to have in each allowed region at least")
	f.StringSliceVar(&w.row.Regions, "allowed-regions", nil, "regions that requests and copies never leave; empty: any")
	f.Uint32Var(&w.row.Context, "context", 0, "tokens per request; 0: the engine's default")
	f.Uint32Var(&w.row.Slots, "slots", 0, "requests at a time per copy; 0: the engine's default")
	f.Int64Var(&w.memory, "memory-mb", 0, "memory to reserve per copy, MiB; 0: estimated")
	f.BoolVar(&w.onDemand, "on-demand", false, "load a copy by its first request and unload it when idle or for others; default: always in memory")
	f.DurationVar(&w.keep, "keep-alive", 0, "with --on-demand: idle for so long, a copy is unloaded; 0: 10m; -1s: only for others")
	f.DurationVar(&w.least, "min-resident", 0, "with --on-demand: not unloaded for others before it has served for so long; 0: 10s")
	f.Uint32Var(&w.row.GPUs, "gpus", 1, "devices of one node that a copy spreads over")
	f.StringSliceVar(&w.row.Fallbacks, "fallback", nil, "deployment that serves where no instance of this one can; repeat for more, in order")
	f.StringVar(&w.row.Hedge, "hedge", "", "whether late embeddings are asked for at a second instance: auto (the default) or off")
	f.StringVar(&w.row.Placing, "placing", "", "spread copies over regions, zones and nodes (the default), or pack: fill devices up")
	f.StringSliceVar(&w.row.ApartFrom, "apart-from", nil, "deployment with which it shares no node; repeat for more. Its own name: one copy a node")
	f.StringSliceVar(&w.row.Nodes, "nodes", nil, "the only nodes that copies may be on; empty: any")
	f.StringSliceVar(&w.row.PreferNodes, "prefer-nodes", nil, "nodes that are filled before others")
	f.StringVar(&w.row.Cache, "cache", "", "answers that are kept for requests that ask the same: off (the default), deterministic, or opted for those alone that ask for it")
	f.DurationVar(&w.cacheTTL, "cache-ttl", 0, "with --cache: how long an answer is kept; 0: 1h")
	f.Int64Var(&w.cacheMemory, "cache-memory-mb", 0, "with --cache: memory for answers at each device, MiB; 0: 64")
	f.StringVar(&w.row.CacheScope, "cache-scope", "", "with --cache: whose requests an answer is for: tenant (the default), or shared, of deployments that no tenant owns")
	f.Uint32Var(&w.row.PerMinute, "rpm", 0, "requests per minute of all who use it together; 0: no limit")
	w.row.limitRow.flags(f)
	w.row.priceRow.flags(f)
	w.scale.flags(f)
	f.Var(pairs(w.row.Adapters), "adapter", "LoRA adapter over the model, NAME=IMPORTED-MODEL; may be repeated; clients use NAME")
}

// The most that flags may ask for, as the API has it; beyond it they would wrap.
const (
	maxMemory = 1 << 30 // MiB, a PiB
	maxKeep   = 365 * 24 * time.Hour

	maxCacheTTL = 30 * 24 * time.Hour
	maxCacheMB  = 1 << 20
)

// check finds numbers that no deployment may have, before they are counted in other units.
func (w *wish) check(c *cobra.Command) error {
	var what string
	switch {
	case w.memory < 0 || w.memory > maxMemory:
		what = fmt.Sprintf("--memory-mb must be from 0, which is for an estimate, to %d, a PiB", maxMemory)
	case w.keep != 0 && w.keep != -time.Second && (w.keep < time.Second || w.keep > maxKeep):
		what = "--keep-alive must be from 1s to a year; -1s is for ever, 0 for 10m"
	case w.least < 0 || w.least > maxKeep || w.least > 0 && w.least < time.Second:
		what = "--min-resident must be from 1s to a year; 0 is for 10s"
	case w.row.GPUs < 1 || w.row.GPUs > 64:
		what = "--gpus must be from 1 to 64"
	case w.cacheTTL < 0 || w.cacheTTL > maxCacheTTL || w.cacheTTL > 0 && w.cacheTTL < time.Second:
		what = "--cache-ttl must be from 1s to 720h; 0 is for 1h"
	case w.cacheMemory < 0 || w.cacheMemory > maxCacheMB:
		what = "--cache-memory-mb must be from 1 to 1048576, a TiB; 0 is for 64"
	default:
		var err error
		w.row.Scale, err = w.scale.row(c)
		return err
	}
	return misused(c, what)
}

// deployment is the row that was wished for.
func (w *wish) deployment() deploymentRow {
	d := w.row
	if w.onDemand {
		d.Residency = "on-demand"
	}
	d.KeepAlive, d.MinResident = int64(w.keep.Seconds()), int64(w.least.Seconds())
	d.MemoryBytes = uint64(w.memory) << 20
	d.CacheTTL, d.CacheBytes = int64(w.cacheTTL.Seconds()), uint64(w.cacheMemory)<<20
	return d
}

func deployCommand() *cobra.Command {
	w := wish{}
	c := &cobra.Command{
		Use:   "deploy NAME",
		Short: "Say that a model should run, under the name that clients use; repeat to change it",
		Args:  cobra.ExactArgs(1),
	}
	flags := where(c)
	c.Flags().StringVar(&w.row.Model, "model", "", "imported model; default: NAME, but for external engines")
	w.flags(c.Flags())
	force := c.Flags().Bool("force", false, "take an engine of the nodes' own that no living node has: its node comes later")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := w.check(c); err != nil {
			return err
		}
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		d := w.deployment()
		if builtIn := slices.Contains(custom.BuiltIn, d.Engine); d.Model == "" && builtIn && d.Engine != "external" && d.Options["weights"] == "" {
			d.Model = args[0]
		}
		var got deploymentRow
		if err := api.Do(c.Context(), "PUT", "/admin/v1/deployments/"+args[0]+forced(*force), d, &got); err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "deployment %s, version %d; see its instances with lotabots status\n", args[0], got.Version)
		return warnFallbacks(c, api, got.Fallbacks)
	}
	return c
}

// forced is the query that has a write taken all the same.
func forced(force bool) string {
	if force {
		return "?force=true"
	}
	return ""
}

func deploymentsCommand() *cobra.Command {
	c := &cobra.Command{Use: "deployments", Short: "List and remove deployments"}
	flags := where(c)
	c.AddCommand(deploymentsListCommand(flags), removeCommand(flags, "rm NAME", "Remove a deployment; its instances drain and unload", "/admin/v1/deployments/", "removed"))
	return c
}

func deploymentsListCommand(flags *client.Flags) *cobra.Command {
	c := &cobra.Command{Use: "ls", Short: "List the deployments", Args: cobra.NoArgs}
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
		return show(c, *format, all, func(w io.Writer) {
			row(w, "NAME", "VERSION", "MODEL", "ENGINE", "REPLICAS", "RESIDENCY", "REGIONS", "CANARY")
			for _, d := range all {
				row(w, d.Name, d.Version, d.Model, d.Engine, copies(d.Replicas, d.Scale), d.Residency, strings.Join(d.Regions, ","), d.Canary.short())
			}
		})
	}
	return c
}

// removeCommand deletes what its one argument names.
func removeCommand(flags *client.Flags, use, short, path, done string) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(1), RunE: func(c *cobra.Command, args []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		if err := api.Do(c.Context(), "DELETE", path+args[0], nil, nil); err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "%s %s\n", args[0], done)
		return nil
	}}
}

// warnFallbacks tells of fallbacks that the caller sees no deployment for.
func warnFallbacks(c *cobra.Command, api *client.Client, names []string) error {
	if len(names) == 0 {
		return nil
	}
	all, err := listWhere[deploymentRow](c, api, "/admin/v1/deployments", nil)
	if err != nil {
		return err
	}
	for _, name := range names {
		known := slices.ContainsFunc(all, func(d deploymentRow) bool { _, adapter := d.Adapters[name]; return d.Name == name || adapter })
		if !known {
			fmt.Fprintf(c.ErrOrStderr(), "no deployment %s is there yet: until then it is passed over as a fallback\n", name)
		}
	}
	return nil
}
