package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/node"
	"github.com/lotabots/lotabots/node/config"
)

func configCommand() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Check and show this machine's node configuration"}
	c.AddCommand(configCheckCommand(), configShowCommand(), configSchemaCommand())
	return c
}

// configSources adds --file and the node's own flags, and returns how to find
// the sources that `node run` would read.
func configSources(c *cobra.Command) func() config.Sources {
	file := c.Flags().String("file", "", "file to read; default: node.yaml in the data directory, if it is there")
	config.AddFlags(c.Flags())
	return func() config.Sources {
		s := config.Sources{File: *file, Env: os.LookupEnv, Flags: c.Flags()}
		if s.File == "" {
			path := node.ConfigFile(dataFlag(c))
			if _, err := os.Stat(path); err == nil {
				s.File = path
			}
		}
		return s
	}
}

// problemsOf is what is wrong with a configuration; a file that is no YAML at
// all is one problem.
func problemsOf(err error, file string) config.Problems {
	var problems config.Problems
	switch {
	case err == nil:
		return config.Problems{}
	case errors.As(err, &problems):
		return problems
	}
	return config.Problems{{Source: file, Reason: err.Error(), Unread: true}}
}

func configCheckCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "check",
		Short: "List everything that is wrong with a node's configuration; exit 1 if anything is",
		Args:  cobra.NoArgs,
	}
	sources, format := configSources(c), output(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		s := sources()
		_, err := config.Load(s)
		problems := append(problemsOf(err, s.File), config.UnknownEnv(os.Environ())...)
		report := struct {
			File     string          `json:"file"`
			OK       bool            `json:"ok"`
			Problems config.Problems `json:"problems"`
		}{s.File, len(problems) == 0, problems}
		if shown := show(c, *format, report, func(w io.Writer) {
			if report.OK {
				fmt.Fprintf(w, "%s: no problems\n", whence(s.File))
			}
		}); shown != nil {
			return shown
		}
		if report.OK {
			return nil
		}
		if *format == "json" {
			return fmt.Errorf("the configuration has %d problem(s)", len(problems))
		}
		return problems
	}
	return c
}

// whence names what was read.
func whence(file string) string {
	if file == "" {
		return "defaults, environment and flags (there is no file)"
	}
	return file
}

func configShowCommand() *cobra.Command {
	c := &cobra.Command{Use: "show", Short: "Show the configuration in force, and where each value is from", Args: cobra.NoArgs}
	sources, format := configSources(c), output(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		_, values, err := config.Effective(sources())
		var problems config.Problems
		if err != nil && !errors.As(err, &problems) { // with problems it is still what was given
			return err
		}
		if shown := show(c, *format, values, func(w io.Writer) {
			row(w, "KEY", "VALUE", "SOURCE", "CHANGE TAKEN BY")
			for _, v := range values {
				row(w, v.Key, v.Text(), v.Source, takenBy(v.Reload))
			}
		}); shown != nil {
			return shown
		}
		return err
	}
	return c
}

func takenBy(reload bool) string {
	if reload {
		return "reload"
	}
	return "restart"
}

func configSchemaCommand() *cobra.Command {
	c := &cobra.Command{Use: "schema", Short: "List every key with type, default, help and an example", Args: cobra.NoArgs}
	format := output(c)
	type key struct {
		Key     string `json:"key"`
		Type    string `json:"type"`
		Default string `json:"default"` // as a file has it
		Help    string `json:"help"`
		Example string `json:"example"`
		Flag    string `json:"flag"`
		Env     string `json:"env"`
		Reload  bool   `json:"reload"`
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		var keys []key
		for _, f := range config.Schema() {
			keys = append(keys, key{f.Key, f.Kind(), f.Default, f.Help, f.Example, "--" + f.Flag, f.Env, f.Reload})
		}
		return show(c, *format, keys, func(w io.Writer) {
			row(w, "KEY", "TYPE", "DEFAULT", "EXAMPLE", "CHANGE TAKEN BY", "HELP")
			for _, k := range keys {
				row(w, k.Key, k.Type, k.Default, k.Example, takenBy(k.Reload), k.Help)
			}
		})
	}
	return c
}
