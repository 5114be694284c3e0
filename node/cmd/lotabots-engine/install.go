package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/actors/llamacpp/library"
)

func installCommand() *cobra.Command {
	return &cobra.Command{
		Use: "install [FILE.tgz]", Short: "Put llama.cpp's libraries into the cache",
		Long: "Fetches " + library.Package() + " through npm, or takes its tarball from FILE.tgz,\n" +
			"checks it against the pinned digest and unpacks the libraries into the cache. Prints their directory.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			file := ""
			if len(args) == 1 {
				file = args[0]
			}
			dir, err := library.Install(c.Context(), file)
			if err == nil {
				_, err = fmt.Fprintln(c.OutOrStdout(), dir)
			}
			return err
		},
	}
}
