package main

import (
	"encoding/json"
	"io"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/gateway"
	"github.com/lotabots/lotabots/node/client"
)

func statusCommand() *cobra.Command {
	c := &cobra.Command{Use: "status", Short: "Show nodes, leader, devices, instances and load", Args: cobra.NoArgs}
	flags, format := where(c), output(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		var raw json.RawMessage
		if err := api.Do(c.Context(), "GET", "/admin/v1/status", nil, &raw); err != nil {
			return err
		}
		var s gateway.Status
		if err := json.Unmarshal(raw, &s); err != nil {
			return err
		}
		return show(c, *format, raw, func(w io.Writer) { statusTable(w, s) })
	}
	return c
}
