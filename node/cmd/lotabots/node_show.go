package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/gateway"
	"github.com/lotabots/lotabots/node/client"
)

func nodeShowCommand() *cobra.Command {
	c := &cobra.Command{Use: "show ID", Short: "Show a node: what it is, its devices, and the engines that it has", Args: cobra.ExactArgs(1)}
	flags, format := where(c), output(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		var s gateway.Status
		if err := api.Do(c.Context(), "GET", "/admin/v1/status", nil, &s); err != nil {
			return err
		}
		for _, n := range s.Nodes {
			if n.ID == args[0] {
				return show(c, *format, n, func(w io.Writer) { nodeTable(w, n, s) })
			}
		}
		return fmt.Errorf("there is no node %q; see lotabots status", args[0])
	}
	return c
}

func nodeTable(w io.Writer, n gateway.NodeStatus, s gateway.Status) {
	row(w, "node", n.ID)
	row(w, "state", nodeWord(n))
	row(w, "roles", strings.Join(n.Roles, ","))
	row(w, "region", n.Region)
	row(w, "zone", n.Zone)
	row(w, "cluster", n.Cluster)
	row(w, "api", n.API)
	row(w, "version", n.Version)
	row(w)
	deviceRows(w, s.Devices, func(d gateway.DeviceStatus) bool { return d.Node == n.ID })
	row(w)
	if len(n.Presets) == 0 {
		fmt.Fprintln(w, "It has told of no engines.")
		return
	}
	row(w, "ENGINE", "VERSION", "CAN", "LACKS")
	for _, p := range n.Presets {
		name := p.Name
		if p.Own {
			name += " (its own)"
		}
		row(w, name, p.Version, strings.Join(p.Capabilities, ","), p.Lacks)
	}
}

// engineWord names the engines that the node can run.
func engineWord(n gateway.NodeStatus) string {
	var able []string
	for _, p := range n.Presets {
		if p.Lacks == "" {
			able = append(able, p.Name)
		}
	}
	return strings.Join(able, ",")
}
