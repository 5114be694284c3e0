package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/node/client"
)

// A list answer of the admin API.
type list[T any] struct {
	Data       []T    `json:"data"`
	NextCursor string `json:"next_cursor"`
}

type modelRow struct {
	Name       string `json:"name"`
	Format     string `json:"format"`
	Digest     string `json:"digest"`
	Size       uint64 `json:"size"`
	ImportedOn string `json:"imported_on"`
}

func modelsCommand() *cobra.Command {
	c := &cobra.Command{Use: "models", Short: "Import and list model files"}
	flags := where(c)
	c.AddCommand(modelsImportCommand(flags), modelsListCommand(flags))
	return c
}

func modelsImportCommand(flags *client.Flags) *cobra.Command {
	name := ""
	c := &cobra.Command{
		Use:   "import FILE",
		Short: "Bring a GGUF file into the cluster; any node can load it afterwards",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := client.Find(*flags)
			if err != nil {
				return err
			}
			file, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer file.Close()
			if name == "" {
				base := filepath.Base(args[0])
				name = strings.ToLower(strings.TrimSuffix(base, filepath.Ext(base)))
			}
			var m modelRow
			if err := api.Do(c.Context(), "PUT", "/admin/v1/models/"+name, io.Reader(file), &m); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "model %s: %s, sha256 %s\n", m.Name, size(m.Size), m.Digest)
			return nil
		},
	}
	c.Flags().StringVar(&name, "name", "", "name of the model; default: the file's")
	return c
}

func modelsListCommand(flags *client.Flags) *cobra.Command {
	c := &cobra.Command{Use: "ls", Short: "List the models", Args: cobra.NoArgs}
	format := output(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		models, err := listWhere[modelRow](c, api, "/admin/v1/models", nil)
		if err != nil {
			return err
		}
		return show(c, *format, models, func(w io.Writer) {
			row(w, "NAME", "FORMAT", "SIZE", "IMPORTED ON", "SHA256")
			for _, m := range models {
				row(w, m.Name, m.Format, size(m.Size), m.ImportedOn, m.Digest)
			}
		})
	}
	return c
}
