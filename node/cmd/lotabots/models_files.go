package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/node/client"
)

// segment is a name in a path.
func segment(name string) string { return url.PathEscape(name) }

type nodeStorage struct {
	Node      string         `json:"node"`
	Used      int64          `json:"used"`
	Limit     int64          `json:"limit"`
	Free      int64          `json:"free"`
	Models    []copyRow      `json:"models"`
	Coming    []transferRow  `json:"coming"`
	Removable []removableRow `json:"removable"`
	Error     string         `json:"error,omitempty"`
}

type copyRow struct {
	Node   string `json:"node,omitempty"`
	Digest string `json:"digest"`
	Kind   string `json:"kind"`
	Bytes  int64  `json:"bytes"`
	UsedMS int64  `json:"used_ms"`
}

type transferRow struct {
	Node    string `json:"node"`
	Model   string `json:"model"`
	Digest  string `json:"digest"`
	From    string `json:"from"`
	Bytes   int64  `json:"bytes"`
	Total   int64  `json:"total"`
	Rate    int64  `json:"rate"`
	BeganMS int64  `json:"began_ms"`
	Error   string `json:"error,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

type removableRow struct {
	Digest string `json:"digest"`
	Model  string `json:"model"`
	Kind   string `json:"kind"`
	Bytes  int64  `json:"bytes"`
	Cause  string `json:"cause"`
	InMS   int64  `json:"in_ms"`
	InUse  bool   `json:"in_use"`
}

type checkRow struct {
	Node    string `json:"node"`
	Running bool   `json:"running"`
	Bytes   int64  `json:"bytes"`
	Total   int64  `json:"total"`
	AtMS    int64  `json:"at_ms"`
	Damaged []struct {
		Chunk int    `json:"chunk"`
		File  string `json:"file"`
	} `json:"damaged"`
	Repaired bool   `json:"repaired"`
	Error    string `json:"error,omitempty"`
	Hint     string `json:"hint,omitempty"`
}

type modelDetail struct {
	modelRow
	ImportedMS int64 `json:"imported_ms"`
	Parts      []struct {
		Path   string `json:"path"`
		Size   uint64 `json:"size"`
		Digest string `json:"digest"`
	} `json:"parts"`
	Homes       []string      `json:"homes"`
	Copies      []copyRow     `json:"copies"`
	Coming      []transferRow `json:"coming"`
	Checks      []checkRow    `json:"checks"`
	Deployments []string      `json:"deployments"`
	Silent      []string      `json:"silent"`
}

func storageOf(ctx context.Context, api *client.Client, method, path string) ([]nodeStorage, error) {
	var s struct {
		Data []nodeStorage `json:"data"`
	}
	err := api.Do(ctx, method, "/admin/v1/storage"+path, nil, &s)
	return s.Data, err
}

func modelsShowCommand(flags *client.Flags) *cobra.Command {
	c := &cobra.Command{Use: "show NAME", Short: "Show a model: its digest, shape and files, which nodes have it, and what is on its way", Args: cobra.ExactArgs(1)}
	format := output(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		var m modelDetail
		if err := api.Do(c.Context(), "GET", "/admin/v1/models/"+segment(args[0]), nil, &m); err != nil {
			return err
		}
		return show(c, *format, m, func(w io.Writer) { m.print(w) })
	}
	return c
}

func (m *modelDetail) print(w io.Writer) {
	row(w, "name:", m.Name)
	row(w, "sha256:", m.Digest)
	row(w, "format:", m.Format+", "+size(m.Size))
	if m.Shape != nil {
		row(w, "shape:", m.Shape)
	}
	row(w, "imported:", time.UnixMilli(m.ImportedMS).UTC().Format(time.RFC3339)+" on "+m.ImportedOn)
	row(w, "deployments:", orNone(m.Deployments))
	row(w, "kept on:", orNone(m.Homes))
	for _, p := range m.Parts {
		row(w, "file:", p.Path+", "+size(p.Size))
	}
	for _, c := range m.Copies {
		row(w, "copy:", fmt.Sprintf("%s has it %s (%s), used %s", c.Node, c.Kind, size(uint64(c.Bytes)), time.UnixMilli(c.UsedMS).UTC().Format(time.RFC3339)))
	}
	for _, t := range m.Coming {
		row(w, "coming:", t.text())
	}
	for _, check := range m.Checks {
		row(w, "checked:", check.text())
	}
	for _, node := range m.Silent {
		row(w, "silent:", node+" did not tell what it has")
	}
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "-"
	}
	return strings.Join(names, ", ")
}

func (t transferRow) text() string {
	if t.Error != "" {
		return fmt.Sprintf("not to %s from %s: %s %s", t.Node, t.From, t.Error, t.Hint)
	}
	return fmt.Sprintf("to %s from %s: %s of %s, %s/s", t.Node, t.From, size(uint64(t.Bytes)), size(uint64(t.Total)), size(uint64(max(0, t.Rate))))
}

func (c checkRow) text() string {
	switch {
	case c.Running:
		return fmt.Sprintf("%s: %s of %s are read", c.Node, size(uint64(c.Bytes)), size(uint64(c.Total)))
	case c.Error != "" && len(c.Damaged) == 0:
		return fmt.Sprintf("%s: %s %s", c.Node, c.Error, c.Hint)
	case len(c.Damaged) == 0:
		return c.Node + ": sound"
	}
	at := fmt.Sprintf("%s: chunk %d in %s was damaged", c.Node, c.Damaged[0].Chunk, c.Damaged[0].File)
	if n := len(c.Damaged); n > 1 {
		at = fmt.Sprintf("%s, and %d more", at, n-1)
	}
	if c.Repaired {
		return at + "; mended from another copy"
	}
	return at + " and could not be mended: " + c.Error + " " + c.Hint
}

func modelsVerifyCommand(flags *client.Flags) *cobra.Command {
	c := &cobra.Command{Use: "verify NAME", Short: "Have every node that has the model hold its files against their digests, and mend what is damaged", Args: cobra.ExactArgs(1)}
	format := output(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		path := "/admin/v1/models/" + segment(args[0])
		var begun struct {
			Data []checkRow `json:"data"`
		}
		if err := api.Do(c.Context(), "POST", path+"/verify", nil, &begun); err != nil {
			return err
		}
		checks, err := awaitChecks(c, api, path, begun.Data)
		if err != nil {
			return err
		}
		err = show(c, *format, checks, func(w io.Writer) {
			for _, check := range checks {
				row(w, check.text())
			}
			if len(checks) == 0 {
				row(w, "no living node has it")
			}
		})
		if err == nil && slices.ContainsFunc(checks, func(k checkRow) bool { return !k.Repaired }) {
			err = errors.New("some copy is damaged, or could not be checked")
		}
		return err
	}
	return c
}

// awaitChecks polls until all that were begun have ended.
func awaitChecks(c *cobra.Command, api *client.Client, path string, begun []checkRow) ([]checkRow, error) {
	bar := newBar(c.ErrOrStderr(), "verifying", 0)
	defer bar.end()
	for {
		var m modelDetail
		if err := api.Do(c.Context(), "GET", path, nil, &m); err != nil {
			return nil, err
		}
		running, read, total := false, int64(0), int64(0)
		for i, b := range begun {
			for _, now := range m.Checks {
				if now.Node == b.Node && now.AtMS >= b.AtMS && b.Running {
					begun[i] = now
				}
			}
			running = running || begun[i].Running && !slices.Contains(m.Silent, b.Node)
			read, total = read+begun[i].Bytes, total+begun[i].Total
		}
		if !running {
			return begun, nil
		}
		bar.set(read, total)
		if err := pause(c.Context()); err != nil {
			return nil, err
		}
	}
}

const pollEvery = 300 * time.Millisecond

func pause(ctx context.Context) error {
	select {
	case <-time.After(pollEvery):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func modelsCollectCommand(flags *client.Flags) *cobra.Command {
	dry := false
	c := &cobra.Command{Use: "gc", Short: "Remove model files that nobody needs, as every node does by itself now and then", Args: cobra.NoArgs}
	format := output(c)
	c.Flags().BoolVar(&dry, "dry-run", false, "tell what would go, and when, and remove nothing")
	c.RunE = func(c *cobra.Command, _ []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		method, path := "POST", "/collect"
		if dry {
			method, path = "GET", ""
		}
		nodes, err := storageOf(c.Context(), api, method, path)
		if err != nil {
			return err
		}
		return show(c, *format, nodes, func(w io.Writer) {
			row(w, "NODE", "MODEL", "KIND", "SIZE", "CAUSE", "GOES", "SHA256")
			for _, n := range nodes {
				if n.Error != "" {
					row(w, n.Node, "-", "-", "-", n.Error, "-", "-")
				}
				for _, r := range n.Removable {
					row(w, n.Node, orDash(r.Model), r.Kind, size(uint64(r.Bytes)), r.Cause, r.goes(dry), r.Digest)
				}
			}
		})
	}
	return c
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (r removableRow) goes(dry bool) string {
	switch {
	case r.InUse:
		return "when it is not in use"
	case r.InMS > 0:
		return "in " + (time.Duration(r.InMS) * time.Millisecond).Round(time.Second).String()
	case dry:
		return "now"
	}
	return "gone"
}

func modelsPullCommand(flags *client.Flags) *cobra.Command {
	name, digest, stop, leave := "", "", "", false
	c := &cobra.Command{
		Use:   "pull URL --digest sha256:HEX",
		Short: "Have a node download a GGUF file, or a tar of a PEFT adapter, from a URL that its models.pull-urls allows",
		Args:  cobra.MaximumNArgs(1),
	}
	c.Flags().StringVar(&name, "name", "", "name of the model; default: the URL's last part")
	c.Flags().StringVar(&digest, "digest", "", "what the file must have: sha256: and its SHA-256")
	c.Flags().StringVar(&stop, "cancel", "", "end the pull of the model of that name instead")
	c.Flags().BoolVar(&leave, "no-wait", false, "return when it has begun: lotabots status tells of its progress")
	c.RunE = func(c *cobra.Command, args []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		if stop != "" {
			return api.Do(c.Context(), "DELETE", "/admin/v1/models/"+segment(stop)+"/pull", nil, nil)
		}
		if len(args) != 1 || digest == "" {
			return errors.New("want a URL and --digest sha256:HEX, or --cancel NAME")
		}
		if u, err := url.Parse(args[0]); err == nil && name == "" {
			name = modelName(u.Path, false)
		}
		var begun transferRow
		if err := api.Do(c.Context(), "POST", "/admin/v1/models/"+segment(name)+"/pull", map[string]string{"url": args[0], "digest": digest}, &begun); err != nil {
			return err
		}
		if leave {
			fmt.Fprintf(c.OutOrStdout(), "model %s is being pulled by node %s\n", name, begun.Node)
			return nil
		}
		return awaitPull(c, api, name, begun)
	}
	return c
}

// awaitPull tells of a pull until it has ended. Whoever stops waiting leaves it to go on.
func awaitPull(c *cobra.Command, api *client.Client, name string, begun transferRow) error {
	bar := newBar(c.ErrOrStderr(), "pulling", 0)
	defer bar.end()
	for {
		nodes, err := storageOf(c.Context(), api, "GET", "")
		if err == nil {
			now := (*transferRow)(nil)
			for _, n := range nodes {
				for _, t := range n.Coming {
					if n.Node == begun.Node && t.Model == name && t.From != "nodes" {
						now = &t
					}
				}
			}
			switch {
			case now == nil:
				return pulled(c, api, name, begun)
			case now.Error != "":
				return fmt.Errorf("%s %s", now.Error, now.Hint)
			}
			bar.set(now.Bytes, now.Total)
			err = pause(c.Context())
		}
		if c.Context().Err() != nil {
			fmt.Fprintf(c.ErrOrStderr(), "\nnode %s goes on with it: lotabots models pull --cancel %s ends it\n", begun.Node, name)
		}
		if err != nil {
			return err
		}
	}
}

func pulled(c *cobra.Command, api *client.Client, name string, begun transferRow) error {
	var m modelDetail
	if err := api.Do(c.Context(), "GET", "/admin/v1/models/"+segment(name), nil, &m); err != nil {
		return fmt.Errorf("node %s does not pull it any more, and it is not there: %w", begun.Node, err)
	}
	fmt.Fprintf(c.OutOrStdout(), "model %s: %s, sha256 %s\n", m.Name, size(m.Size), m.Digest)
	return nil
}
