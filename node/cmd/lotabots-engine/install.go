package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/actors/llamacpp/library"
	"github.com/lotabots/lotabots/cluster/spec"
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

// describe adds what to do to what happened.
func describe(err error) string {
	var e *spec.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	remedy := e.Hint
	if remedy == "" {
		remedy = e.Code.Lookup().Remedy
	}
	return fmt.Sprintf("%s (%s). %s.", e.Message, e.Code, trimDot(remedy))
}

func trimDot(s string) string {
	if n := len(s); n > 0 && s[n-1] == '.' {
		return s[:n-1]
	}
	return s
}
