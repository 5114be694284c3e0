package main

import (
	"fmt"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/actors/device/nvml"
	"github.com/lotabots/lotabots/actors/llamacpp/library"
	"github.com/lotabots/lotabots/cluster/spec"
)

func main() {
	root := &cobra.Command{
		Use:           "lotabots-engine",
		Short:         "Serve one model by llama.cpp, install its libraries, list GPUs",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(serveCommand(), measureCommand(), installCommand(), devicesCommand(), holdCommand(), versionCommand())
	if err := root.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "lotabots-engine:", spec.Explain(err))
		os.Exit(1)
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Say what this is built from", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			build := "unknown"
			if info, ok := debug.ReadBuildInfo(); ok {
				build = info.Main.Version
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "lotabots-engine %s\nllama.cpp %s (%s)\nnvml %t\n", build, library.Release, library.Package(), nvml.Compiled)
			return err
		},
	}
}
