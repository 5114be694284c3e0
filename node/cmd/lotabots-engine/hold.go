package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/actors/device/nvml"
)

// holdCommand is for `make check-gpu`.
func holdCommand() *cobra.Command {
	var mib uint64
	c := &cobra.Command{
		Use: "hold-memory", Short: "Take memory on the first GPU in sight until stdin ends", Args: cobra.NoArgs, Hidden: true,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := nvml.Hold(mib << 20); err != nil {
				return err
			}
			if _, err := fmt.Fprintf(c.OutOrStdout(), "%d MiB are taken\n", mib); err != nil {
				return err
			}
			_, err := io.Copy(io.Discard, os.Stdin)
			return err
		},
	}
	c.Flags().Uint64Var(&mib, "mib", 512, "MiB")
	return c
}
