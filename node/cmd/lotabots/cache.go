package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/node/client"
)

func cacheCommand() *cobra.Command {
	c := &cobra.Command{Use: "cache", Short: "Kept answers: what there is, and dropping them"}
	c.AddCommand(cacheStatsCommand(), cachePurgeCommand())
	return c
}

// A cacheRow is what one device keeps of one deployment's answers.
type cacheRow struct {
	Node       string `json:"node"`
	Device     string `json:"device"`
	Deployment string `json:"deployment"`
	Entries    int    `json:"entries"`
	Bytes      int64  `json:"bytes"`
	Hits       uint64 `json:"hits"`
	Misses     uint64 `json:"misses"`
	Joined     uint64 `json:"joined"`
}

func cacheStatsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "stats [DEPLOYMENT]",
		Short: "Show what devices keep of answers, and how requests found them since each node's start",
		Args:  cobra.MaximumNArgs(1),
	}
	flags, format := where(c), output(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		var got struct {
			Data      []cacheRow `json:"data"`
			Unreached []string   `json:"unreached"`
		}
		if err := api.Do(c.Context(), "GET", "/admin/v1/cache", nil, &got); err != nil {
			return err
		}
		rows := []cacheRow{}
		for _, r := range got.Data {
			if len(args) == 0 || r.Deployment == args[0] {
				rows = append(rows, r)
			}
		}
		for _, n := range got.Unreached {
			fmt.Fprintf(c.ErrOrStderr(), "node %s has not told\n", n)
		}
		return show(c, *format, rows, func(w io.Writer) {
			if len(rows) == 0 {
				row(w, "no answers were asked for: deployments keep some with lotabots deploy --cache")
				return
			}
			row(w, "DEPLOYMENT", "DEVICE", "ANSWERS", "KIB", "HITS", "JOINED", "MISSES")
			for _, r := range rows {
				row(w, r.Deployment, r.Device, r.Entries, (r.Bytes+1023)>>10, r.Hits, r.Joined, r.Misses)
			}
		})
	}
	return c
}

func cachePurgeCommand() *cobra.Command {
	ask := struct {
		Deployment string `json:"deployment,omitempty"`
		Tenant     string `json:"tenant,omitempty"`
		Key        string `json:"key,omitempty"`
		All        bool   `json:"all,omitempty"`
	}{}
	c := &cobra.Command{
		Use:   "purge [DEPLOYMENT]",
		Short: "Drop kept answers on all nodes: of a deployment, a tenant, one request, or all",
		Args:  cobra.MaximumNArgs(1),
	}
	flags := where(c)
	c.Flags().StringVar(&ask.Tenant, "tenant", "", "those that were made for this tenant's requests")
	c.Flags().StringVar(&ask.Key, "cache-key", "", "the one of this request, as its answer's X-LotaBots-Cache-Key has it")
	c.Flags().BoolVar(&ask.All, "all", false, "all there are")
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			ask.Deployment = args[0]
		}
		if given := ask.Deployment != "" || ask.Tenant != "" || ask.Key != ""; given == ask.All {
			return misused(c, "say which answers to drop: DEPLOYMENT, --tenant or --cache-key, or else --all")
		}
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		var got struct {
			Lagging []string `json:"lagging"`
		}
		if err := api.Do(c.Context(), "POST", "/admin/v1/cache/purge", ask, &got); err != nil {
			return err
		}
		fmt.Fprintln(c.OutOrStdout(), "dropped on all nodes that are alive")
		for _, n := range got.Lagging {
			fmt.Fprintf(c.ErrOrStderr(), "node %s has not told that it knows; it drops them when it hears of it\n", n)
		}
		return nil
	}
	return c
}
