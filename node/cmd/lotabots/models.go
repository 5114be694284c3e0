package main

import (
	"fmt"
	"io"
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
	c := &cobra.Command{Use: "models", Short: "Import, pull, show, verify and remove model files"}
	flags := where(c)
	c.AddCommand(modelsImportCommand(flags), modelsPullCommand(flags), modelsListCommand(flags), modelsShowCommand(flags), modelsVerifyCommand(flags),
		modelsRemoveCommand(flags), modelsCollectCommand(flags))
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
		copies, told := map[string]int{}, false
		if nodes, err := storageOf(c.Context(), api, "GET", ""); err == nil { // who may not see the nodes is shown the rest
			told = true
			for _, n := range nodes {
				for _, m := range n.Models {
					if m.Kind == "whole" {
						copies[m.Digest]++
					}
				}
			}
		}
		return show(c, *format, models, func(w io.Writer) {
			row(w, "NAME", "FORMAT", "SIZE", "COPIES", "IMPORTED ON", "SHA256")
			for _, m := range models {
				n := "-"
				if told {
					n = fmt.Sprint(copies[m.Digest])
				}
				row(w, m.Name, m.Format, size(m.Size), n, m.ImportedOn, m.Digest)
			}
		})
	}
	return c
}

func modelsRemoveCommand(flags *client.Flags) *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME...", Short: "Forget models; their files go from every node after models.gc-grace", Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := client.Find(*flags)
			if err != nil {
				return err
			}
			for _, name := range args {
				if err := api.Do(c.Context(), "DELETE", "/admin/v1/models/"+segment(name), nil, nil); err != nil {
					return err
				}
				fmt.Fprintf(c.OutOrStdout(), "model %s is removed\n", name)
			}
			return nil
		},
	}
}
