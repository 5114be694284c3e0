package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/node/client"
	"github.com/lotabots/lotabots/storage/modelfile"
)

// A planRow is the answer of POST /admin/v1/plan.
type planRow struct {
	Name     string `json:"name"`
	Estimate struct {
		Bytes   uint64     `json:"bytes"`
		Context uint32     `json:"context"`
		Slots   uint32     `json:"slots"`
		Parts   []planPart `json:"parts"`
	} `json:"estimate"`
	Devices []planDevice `json:"devices"`
	Actions []planAction `json:"actions"`
}

type planPart struct {
	Name  string `json:"name"`
	Bytes uint64 `json:"bytes"`
	Text  string `json:"text"`
}

type planDevice struct {
	Node    string     `json:"node"`
	Device  string     `json:"device"`
	Region  string     `json:"region"`
	Kind    string     `json:"kind"`
	Name    string     `json:"name"`
	Copies  int        `json:"copies"`
	Refusal string     `json:"refusal"`
	Total   uint64     `json:"memory_total_bytes"`
	Free    uint64     `json:"memory_free_bytes"`
	Short   uint64     `json:"short_bytes"`
	Lacking uint64     `json:"evicts_bytes"`
	Evict   []planLeft `json:"would_evict"`
	FactsMS int64      `json:"facts_ms"`
	Waits   string     `json:"waits"`
	Stands  string     `json:"standing"`
	Needs   uint64     `json:"needs_bytes"`
	Source  string     `json:"memory_source"`
	Learnt  uint64     `json:"learnt_bytes"`
	Loads   int        `json:"learnt_loads"`
}

type planLeft struct {
	Instance   string `json:"instance"`
	Deployment string `json:"deployment"`
	State      string `json:"state"`
	Running    uint32 `json:"running"`
	Bytes      uint64 `json:"memory_bytes"`
}

type planAction struct {
	Action   string   `json:"action"`
	Instance string   `json:"instance"`
	Replaces string   `json:"replaces"`
	Node     string   `json:"node"`
	Devices  []string `json:"devices"`
	Bytes    uint64   `json:"memory_bytes"`
	Reason   string   `json:"reason"`
}

// A planQuestion is its body.
type planQuestion struct {
	Name       string    `json:"name"`
	Deployment any       `json:"deployment"`
	File       *planFile `json:"file,omitempty"`
}

type planFile struct {
	Size  uint64 `json:"size"`
	Shape *shape `json:"shape,omitempty"`
}

func planCommand() *cobra.Command {
	w, name, documents := wish{}, "", ""
	c := &cobra.Command{
		Use:   "plan",
		Short: "Tell what memory a model would take, which device would take it, why others refuse, and what would be unloaded",
		Long: `Asks a node what would become of a deployment, and changes nothing. --model names an imported model, or a file or
folder here that need not be imported: a GGUF, or safetensors with config.json. --dry-run plans the deployments of documents
as lotabots apply takes them. The flags are those of lotabots deploy.`,
		Args: cobra.NoArgs,
	}
	flags, format := where(c), output(c)
	c.Flags().StringVar(&w.row.Model, "model", "", "imported model, or the path of a model's file or folder")
	c.Flags().StringVar(&name, "name", "", "name of the deployment; default: the model's. One that is there is planned to be changed")
	c.Flags().StringVar(&documents, "dry-run", "", "file of documents whose deployments to plan, - for stdin")
	w.flags(c.Flags())
	c.MarkFlagsOneRequired("model", "dry-run")
	c.MarkFlagsMutuallyExclusive("model", "dry-run")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := w.check(c); err != nil {
			return err
		}
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		questions, err := planQuestions(c, w.deployment(), name, documents)
		if err != nil {
			return err
		}
		var plans []planRow
		for _, q := range questions {
			var p planRow
			if err := api.Do(c.Context(), "POST", "/admin/v1/plan", q, &p); err != nil {
				return fmt.Errorf("plan %s: %w", q.Name, err)
			}
			plans = append(plans, p)
		}
		return show(c, *format, plans, func(w io.Writer) {
			for _, p := range plans {
				p.show(w)
			}
		})
	}
	return c
}

func planQuestions(c *cobra.Command, d deploymentRow, name, documents string) ([]planQuestion, error) {
	if documents == "" {
		q, err := planOf(d, name)
		return []planQuestion{q}, err
	}
	docs, err := readDocuments([]string{documents}, c.InOrStdin())
	if err != nil {
		return nil, err
	}
	var out []planQuestion
	for _, doc := range docs {
		if doc.Kind == "deployment" {
			out = append(out, planQuestion{Name: doc.Name, Deployment: doc.Fields})
		}
	}
	if len(out) == 0 {
		return nil, errors.New("there is no deployment among the documents")
	}
	return out, nil
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9._:-]+`)

// planOf reads the model's file, where one is named.
func planOf(d deploymentRow, name string) (planQuestion, error) {
	q := planQuestion{Name: name}
	info, err := os.Stat(d.Model)
	if err == nil && (info.IsDir() || strings.ContainsRune(d.Model, filepath.Separator) || strings.HasSuffix(d.Model, ".gguf")) {
		s, err := modelfile.Read(d.Model)
		if err != nil {
			return q, err
		}
		q.File = &planFile{Size: s.WeightBytes + s.HostBytes, Shape: &shape{Architecture: s.Architecture, Quantisation: s.Quantisation, Parameters: s.Parameters,
			WeightBytes: s.WeightBytes, HostBytes: s.HostBytes, Layers: s.Layers, Context: s.TrainedContext, Embedding: s.Embedding, Vocabulary: s.Vocabulary,
			KVPerToken: s.KvBytesPerToken, WindowPerToken: s.WindowBytesPerToken, Window: s.Window, StateBytes: s.StateBytes,
			Chat: s.Chat, Embeddings: s.Embeddings, Rerank: s.Rerank}}
		base := strings.TrimSuffix(filepath.Base(filepath.Clean(d.Model)), ".gguf")
		d.Model = "m" + notInNames.ReplaceAllString(base, "-")
		if trimmed := strings.Trim(d.Model[1:], "._:-"); trimmed != "" {
			d.Model = trimmed
		}
	}
	if q.Name == "" {
		q.Name = d.Model
	}
	q.Deployment = d
	return q, nil
}

func (p planRow) show(w io.Writer) {
	fmt.Fprintf(w, "%s: %s for each copy", p.Name, size(p.Estimate.Bytes))
	if p.Estimate.Slots > 0 {
		fmt.Fprintf(w, ", with %d slots of %d tokens", p.Estimate.Slots, p.Estimate.Context)
	}
	fmt.Fprintln(w)
	for _, part := range p.Estimate.Parts {
		row(w, "  "+part.Name, size(part.Bytes), part.Text)
	}
	fmt.Fprintln(w)
	row(w, "DEVICE", "NODE", "REGION", "NEEDS", "FREE", "VERDICT")
	for _, d := range p.Devices {
		row(w, d.Device, d.Node, d.Region, d.needs(), size(d.Free), d.verdict())
	}
	for _, a := range p.Actions {
		switch {
		case a.Action == "unplaced":
			fmt.Fprintf(w, "no place: %s\n", a.Reason)
		case a.Replaces != "":
			fmt.Fprintf(w, "moves %s to %s: %s\n", a.Replaces, strings.Join(a.Devices, ", "), a.Reason)
		case a.Action == "unload":
			fmt.Fprintf(w, "unloads %s on %s: %s\n", a.Instance, strings.Join(a.Devices, ", "), a.Reason)
		}
	}
	fmt.Fprintln(w)
}

func (d planDevice) verdict() string {
	var text string
	switch {
	case d.Refusal != "":
		text = "no: " + d.Refusal
	case d.Copies > 0:
		text = fmt.Sprintf("gets %d", d.Copies)
	default:
		text = "would take one"
	}
	if d.Stands != "" {
		text += "; " + d.Stands
	}
	if d.Lacking > 0 {
		gone := make([]string, len(d.Evict))
		for i, a := range d.Evict {
			gone[i] = fmt.Sprintf("%s with %s (%d requests)", a.Deployment, size(a.Bytes), a.Running)
		}
		text += fmt.Sprintf("; %s have to be unloaded first, and as of %s that would be %s", size(d.Lacking),
			time.UnixMilli(d.FactsMS).UTC().Format(time.TimeOnly+" UTC"), strings.Join(gone, ", "))
		if d.Waits != "" {
			text += ", later: " + d.Waits
		}
	}
	return text
}

// needs is what a copy takes there, and whose word that is.
func (d planDevice) needs() string {
	switch {
	case d.Source == "learnt":
		return fmt.Sprintf("%s (learnt of %d loads)", size(d.Needs), d.Loads)
	case d.Source == "stated" && d.Learnt > 0:
		return fmt.Sprintf("%s (stated; learnt: %s)", size(d.Needs), size(d.Learnt))
	}
	return size(d.Needs) + " (" + d.Source + ")"
}
