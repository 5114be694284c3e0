package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/actors/shim"
	"github.com/lotabots/lotabots/node"
)

func engineCommand() *cobra.Command {
	c := &cobra.Command{Use: "engine", Short: "Install what the embedded engine needs"}
	c.AddCommand(&cobra.Command{
		Use:   "install [FILE.tgz]",
		Short: "Put llama.cpp's libraries into the cache: a pinned npm package, or its tarball",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			helper, err := helperPath()
			if err != nil {
				return err
			}
			// The helper is a process of its own: what it links may be missing here.
			install := exec.CommandContext(c.Context(), helper, append([]string{"install"}, args...)...)
			install.Stdout, install.Stderr = c.OutOrStdout(), c.ErrOrStderr()
			return install.Run()
		},
	})
	return c
}

// shimCommand holds an engine's process. Nodes start it; it is of no use to people.
func shimCommand() *cobra.Command {
	return &cobra.Command{
		Use: node.ShimCommand + " NAME", Short: "Hold an engine's process, so that it can outlive the node's", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, _ []string) error { return shim.Run(c.Context()) },
	}
}

// helperPath is lotabots-engine beside this executable, or on the PATH.
func helperPath() (string, error) {
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "lotabots-engine")
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	path, err := exec.LookPath("lotabots-engine")
	if err != nil {
		return "", fmt.Errorf("lotabots-engine is neither beside lotabots nor on the PATH: copy it there; make build leaves it in bin")
	}
	return path, nil
}
