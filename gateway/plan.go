package gateway

import (
	"encoding/json"

	"github.com/lotabots/lotabots/cluster/wire"
)

// Plan is the answer of POST /admin/v1/plan: what would become of a deployment, as
// the node that is asked sees the cluster. Numbers of memory are bytes.
type Plan struct {
	Name     string       `json:"name"`
	Estimate PlanEstimate `json:"estimate"`
	Devices  []PlanDevice `json:"devices"` // those that would take a copy first, in the order of choice
	Actions  []PlanAction `json:"actions"`
}

// PlanEstimate is the memory of one copy, by parts.
type PlanEstimate struct {
	Bytes   uint64     `json:"bytes"`
	Context uint32     `json:"context"` // that the cache is reckoned for; 0: it is not reckoned
	Slots   uint32     `json:"slots"`
	Parts   []PlanPart `json:"parts"`
}

// PlanPart is some of it.
type PlanPart struct {
	Name  string `json:"name"`
	Bytes uint64 `json:"bytes"`
	Text  string `json:"text"`
}

// PlanDevice is what one device says to one more copy.
type PlanDevice struct {
	Node    string `json:"node"`
	Device  string `json:"device"`
	Region  string `json:"region"`
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	Copies  int    `json:"copies"`        // that would be placed there now
	Refusal string `json:"refusal"`       // why it takes none; empty: it may
	Needs   uint64 `json:"needs_bytes"`   // that a copy takes there
	Source  string `json:"memory_source"` // of needs_bytes: estimated, learnt, stated
	Learnt  uint64 `json:"learnt_bytes"`  // that such copies were measured to take on such devices, with head-room; 0: not known
	Loads   int    `json:"learnt_loads"`  // that were measured
	Total   uint64 `json:"memory_total_bytes"`
	Free    uint64 `json:"memory_free_bytes"` // for what is placed next
	Short   uint64 `json:"short_bytes"`
	Lacking uint64 `json:"evicts_bytes"` // that others leave before a copy is loaded
	// WouldEvict are those whom the device would unload, as it chooses, by what was known of them at FactsMS.
	WouldEvict []PlanLeft `json:"would_evict"`
	FactsMS    int64      `json:"facts_ms"` // Unix; 0: nobody has to go
	Waits      string     `json:"waits"`    // why nobody could go yet; empty: those named could at once
	Standing   string     `json:"standing"` // what speaks for it and against it beside memory
}

// PlanLeft is an instance that may have to leave memory for a copy.
type PlanLeft struct {
	Instance   string `json:"instance"`
	Deployment string `json:"deployment"`
	State      string `json:"state"`
	Running    uint32 `json:"running"`
	Bytes      uint64 `json:"memory_bytes"`
}

// PlanAction is one step that the leader would take.
type PlanAction struct {
	Action   string   `json:"action"` // place, load, unload, remove; unplaced: none, reason says why
	Instance string   `json:"instance"`
	Replaces string   `json:"replaces"` // of place: the instance that moves there
	Node     string   `json:"node"`
	Devices  []string `json:"devices"`
	Bytes    uint64   `json:"memory_bytes"` // on each device
	Reason   string   `json:"reason"`
}

type planForm struct {
	Name       string          `json:"name"`
	Deployment json.RawMessage `json:"deployment"`
	File       *planFile       `json:"file"`
}

// planFile stands for a model that is not imported.
type planFile struct {
	Size  uint64     `json:"size"`
	Shape *shapeView `json:"shape"`
}

func (p *planFile) model(name string) *wire.Model {
	m := &wire.Model{Name: name, Size: p.Size}
	if s := p.Shape; s != nil {
		m.Shape = &wire.ModelShape{Architecture: clip(s.Architecture, 64), Quantisation: clip(s.Quantisation, 64), Parameters: s.Parameters, WeightBytes: s.WeightBytes,
			HostBytes: s.HostBytes, Layers: s.Layers, TrainedContext: s.Context, Embedding: s.Embedding, Vocabulary: s.Vocabulary,
			KvBytesPerToken: max(s.KVPerToken, 0), WindowBytesPerToken: max(s.WindowPerToken, 0), Window: s.Window, StateBytes: s.StateBytes,
			Chat: s.Chat, Embeddings: s.Embeddings, Rerank: s.Rerank}
	}
	return m
}

// plan tells what would become of a deployment, and changes nothing.
func plan(r *request) error {
	if r.g.cfg.Cluster == nil {
		return r.elsewhere("plan")
	}
	ask, of := planForm{}, deploymentForm{}
	f, err := r.decode(&ask)
	if err != nil {
		return err
	}
	if len(ask.Deployment) == 0 {
		f.add("deployment", "is missing")
		return f.err()
	}
	inner, err := decodeForm(ask.Deployment, &of)
	if err != nil {
		f.add("deployment", "must be an object, as PUT /admin/v1/deployments takes it")
		return f.err()
	}
	var file *wire.Model
	if ask.File != nil {
		file = ask.File.model(of.Model)
	}
	if err := r.judge(inner, func() {
		of.check(inner, ask.Name, r.g)
		if file == nil {
			of.checkModel(inner, r.g)
		} else {
			inner.check(nameForm.MatchString(of.Model), "model", nameRule)
		}
	}); err != nil && inner.unread {
		return err
	}
	for _, p := range inner.problems {
		f.add("deployment."+p.Param, p.Message)
	}
	if err := f.err(); err != nil {
		return err
	}
	answer, err := r.g.cfg.Cluster.Plan(r.asked(), of.deployment(ask.Name), file)
	if err != nil {
		return err
	}
	return r.json(200, answer)
}
