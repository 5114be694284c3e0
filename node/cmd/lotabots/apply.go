package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/node/client"
	"github.com/lotabots/lotabots/node/declare"
)

// exitDiffers is the exit code of apply --dry-run where something would be
// written; 1 is a failure, 2 a wrong command line.
const exitDiffers = 3

// errDiffers ends apply --dry-run where something would be written.
var errDiffers = errors.New("the cluster differs from the documents")

func applyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "apply",
		Short: "Make the cluster's tenants, settings and deployments as documents say",
		Long: `Reads YAML documents, shows how the cluster differs from them, and writes the differences alone.
A field that a document leaves out has its default. What the documents do not name stays, unless --prune is given.

  kind: deployment
  name: chat
  model: lota-tiny
  replicas: 2
  ---
  kind: tenant
  id: acme

lotabots export prints such documents of a cluster.

Exit code: 0 if the cluster is as declared; 1 on a failure, which says how far it came: apply again;
2 for a wrong command line; 3 if --dry-run found differences.`,
		Args: cobra.NoArgs,
	}
	flags, format := where(c), output(c)
	files := c.Flags().StringArrayP("file", "f", nil, "file of documents, - for stdin; may be repeated")
	dry := c.Flags().Bool("dry-run", false, "show the differences and write nothing; exit 3 if there are any")
	prune := c.Flags().Bool("prune", false, "remove deployments that the documents do not name")
	force := c.Flags().Bool("force", false, "take engines of the nodes' own that no living node has: their nodes come later")
	_ = c.MarkFlagRequired("file")
	c.RunE = func(c *cobra.Command, _ []string) error {
		want, err := readDocuments(*files, c.InOrStdin())
		if err != nil {
			return err
		}
		if *prune && len(want) == 0 {
			return errors.New("there is no document: --prune would remove every deployment")
		}
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		have, err := declare.Read(c.Context(), api, false)
		if err != nil {
			return err
		}
		plan := declare.Compare(have, want, *prune)
		plan.Force = *force
		if err := declare.Verify(c.Context(), api, plan, have, want); err != nil {
			return err
		}
		if err := showPlan(c, *format, plan, *dry); err != nil {
			return err
		}
		if len(plan.Changes) == 0 {
			return nil
		}
		if *dry {
			return errDiffers
		}
		return write(c, *format, api, plan)
	}
	return c
}

// readDocuments reads all files as one, so that a name is there once.
func readDocuments(files []string, stdin io.Reader) ([]declare.Document, error) {
	var all []declare.Document
	from := map[string]string{}
	for _, file := range files {
		raw, err := readFile(file, stdin)
		if err != nil {
			return nil, err
		}
		docs, err := declare.Parse(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, d := range docs {
			if first, twice := from[d.Title()]; twice {
				return nil, fmt.Errorf("%s: %s is in %s already", file, d.Title(), first)
			}
			from[d.Title()] = file
		}
		all = append(all, docs...)
	}
	return all, nil
}

func readFile(file string, stdin io.Reader) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(io.LimitReader(stdin, declare.MaxBytes+1))
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, declare.MaxBytes+1))
}

func showPlan(c *cobra.Command, format string, plan declare.Plan, dry bool) error {
	report := struct {
		declare.Plan
		DryRun bool `json:"dry_run"`
	}{plan, dry}
	return show(c, format, report, func(w io.Writer) {
		plan.Show(w)
		fmt.Fprintln(w, plan.Summary())
		if len(plan.Left) > 0 {
			fmt.Fprintf(w, "%d more in the cluster, not in the documents, are left as they are\n", len(plan.Left))
		}
	})
}

func write(c *cobra.Command, format string, api declare.API, plan declare.Plan) error {
	return declare.Write(c.Context(), api, plan, func(x declare.Change) {
		if format != "json" {
			fmt.Fprintf(c.OutOrStdout(), "done: %s %s %s\n", x.Action, x.Kind, x.Name)
		}
	})
}

func exportCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "export",
		Short: "Print the cluster's tenants, settings and deployments as documents for apply",
		Args:  cobra.NoArgs,
	}
	flags := where(c)
	local := c.Flags().Bool("local", false, "read the asked node's copy of the state, which may lag; works without a leader")
	c.RunE = func(c *cobra.Command, _ []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		docs, err := declare.Read(c.Context(), api, *local)
		if err != nil {
			return err
		}
		text, err := declare.Format(docs)
		if err != nil {
			return err
		}
		_, err = c.OutOrStdout().Write(text)
		return err
	}
	return c
}
