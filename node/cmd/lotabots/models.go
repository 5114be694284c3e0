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
	Shape      *shape `json:"shape,omitempty"`
}

// A shape is what the model's file says of itself.
type shape struct {
	Architecture   string  `json:"architecture"`
	Quantisation   string  `json:"quantisation"`
	Parameters     uint64  `json:"parameters"`
	WeightBytes    uint64  `json:"weight_bytes"`
	HostBytes      uint64  `json:"host_bytes"`
	Layers         uint32  `json:"layers"`
	Context        uint32  `json:"context"`
	Embedding      uint32  `json:"embedding"`
	Vocabulary     uint32  `json:"vocabulary"`
	KVPerToken     float64 `json:"kv_bytes_per_token"`
	WindowPerToken float64 `json:"window_bytes_per_token"`
	Window         uint32  `json:"window"`
	StateBytes     uint64  `json:"state_bytes"`
	Chat           bool    `json:"chat"`
	Embeddings     bool    `json:"embeddings"`
	Rerank         bool    `json:"rerank"`
}

// String tells it in a few words.
func (s *shape) String() string {
	uses := []string{s.Architecture, s.Quantisation, fmt.Sprintf("%.4g million parameters", float64(s.Parameters)/1e6)}
	if s.Context > 0 {
		uses = append(uses, fmt.Sprintf("context %d", s.Context))
	}
	if s.Chat {
		uses = append(uses, "chat")
	}
	if s.Embeddings {
		uses = append(uses, "embeddings")
	}
	if s.Rerank {
		uses = append(uses, "rerank")
	}
	return strings.Join(uses, ", ")
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
		Short: "Bring a GGUF file, or a tar of a PEFT adapter, into the cluster; any node can load it afterwards",
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
			if m.Shape != nil {
				fmt.Fprintf(c.OutOrStdout(), "  %s\n", m.Shape)
			}
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
