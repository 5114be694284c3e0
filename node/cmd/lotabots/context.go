package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/node/client"
)

func contextCommand() *cobra.Command {
	c := &cobra.Command{Use: "context", Short: "Remember which cluster to speak to"}
	flags := where(c)
	c.AddCommand(&cobra.Command{Use: "set", Short: "Save the endpoint and key given by flags for later commands", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		saved := client.Context{Endpoints: []string{flags.Endpoint}, Key: flags.Key}
		if flags.Data != "" {
			var err error
			if saved, err = client.FromData(flags.Data); err != nil {
				return err
			}
		} else if flags.Endpoint == "" || flags.Key == "" {
			return fmt.Errorf("give --endpoint and --key, or --data")
		}
		path, err := client.Save(saved)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "saved in %s\n", path)
		return nil
	}})
	return c
}
