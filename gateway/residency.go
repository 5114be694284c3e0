package gateway

import (
	"maps"
	"slices"

	"github.com/lotabots/lotabots/cluster/wire"
)

// When an instance is in memory.
const (
	always   = "always"
	onDemand = "on-demand"
)

// Bounds of what a deployment may ask for.
const (
	maxKeep     = 365 * 24 * 3600 // seconds
	maxGPUs     = 64
	maxAdapters = 64
)

// residencyView is the part of a deployment that says when its instances are in
// memory, on how many devices, and with which adapters.
type residencyView struct {
	Residency          string            `json:"residency"`
	KeepAliveSeconds   int64             `json:"keep_alive_seconds"`
	MinResidentSeconds int64             `json:"min_resident_seconds"`
	GPUs               uint32            `json:"gpus"`
	Adapters           map[string]string `json:"adapters"`
}

func viewResidency(d *wire.Deployment) residencyView {
	v := residencyView{Residency: always, GPUs: max(d.GetGpus(), 1), Adapters: map[string]string{},
		KeepAliveSeconds: d.GetResidency().GetKeepAliveMs() / 1000, MinResidentSeconds: d.GetResidency().GetMinResidentMs() / 1000}
	if d.GetResidency().GetOnDemand() {
		v.Residency = onDemand
	}
	for _, a := range d.GetAdapters() {
		v.Adapters[a.GetName()] = a.GetModel()
	}
	return v
}

// residencyForm is the same as a client gives it.
type residencyForm struct {
	Residency          string            `json:"residency"`
	KeepAliveSeconds   int64             `json:"keep_alive_seconds"`
	MinResidentSeconds int64             `json:"min_resident_seconds"`
	GPUs               *uint32           `json:"gpus"`
	Adapters           map[string]string `json:"adapters"`
}

func (r *residencyForm) check(f *form, deployment, engine string, g *Gateway) {
	f.check(slices.Contains([]string{"", always, onDemand}, r.Residency), "residency", "must be always or on-demand")
	f.check(r.KeepAliveSeconds >= -1 && r.KeepAliveSeconds <= maxKeep, "keep_alive_seconds", "must be from -1, which is for ever, to a year; 0 is the default of 10 minutes")
	f.check(r.MinResidentSeconds >= 0 && r.MinResidentSeconds <= maxKeep, "min_resident_seconds", "must be from 0, which is the default of 10 seconds, to a year")
	shared := r.Residency == onDemand
	f.check(shared || r.KeepAliveSeconds == 0, "keep_alive_seconds", "is for the residency on-demand alone")
	f.check(shared || r.MinResidentSeconds == 0, "min_resident_seconds", "is for the residency on-demand alone")
	f.check(!shared || engine != external, "residency", "must be always: an external engine is not loaded from here")
	if r.GPUs != nil {
		f.check(*r.GPUs >= 1 && *r.GPUs <= maxGPUs, "gpus", "must be from 1 to 64")
		f.check(*r.GPUs <= 1 || engine != external, "gpus", "must be 1: an external engine has its devices elsewhere")
		f.check(*r.GPUs <= 1 || !shared, "gpus", "must be 1 for the residency on-demand: several devices at once are always loaded")
	}
	r.checkAdapters(f, deployment, g)
}

// checkAdapters looks at the names too: clients name adapters as they name
// deployments, so that each name is of one thing in the cluster.
func (r *residencyForm) checkAdapters(f *form, deployment string, g *Gateway) {
	if d := g.catalog.find([]byte(deployment)); d != nil && d.adapter != "" && d.GetName() != deployment {
		f.add("name", "is taken by an adapter of another deployment")
	}
	f.check(len(r.Adapters) <= maxAdapters, "adapters", "must have at most 64 entries")
	for _, name := range slices.Sorted(maps.Keys(r.Adapters)) {
		f.check(nameForm.MatchString(name), "adapters", "has the name "+clip(name, 60)+": each "+nameRule)
		_, imported := g.cfg.State.Model(r.Adapters[name])
		f.there(imported, "adapters."+clip(name, 60), "is of a model that is not imported: import it first")
		d := g.catalog.find([]byte(name))
		f.check(name != deployment && (d == nil || d.GetName() == deployment), "adapters."+clip(name, 60), "has a name that is taken")
	}
}

// put writes it into a deployment. What is as it always was leaves no trace there,
// so that a cluster with older members takes it.
func (r *residencyForm) put(d *wire.Deployment) {
	if r.Residency == onDemand {
		d.Residency = &wire.Residency{OnDemand: true, KeepAliveMs: r.KeepAliveSeconds * 1000, MinResidentMs: r.MinResidentSeconds * 1000}
	}
	if r.GPUs != nil && *r.GPUs > 1 {
		d.Gpus = *r.GPUs
	}
	for _, name := range slices.Sorted(maps.Keys(r.Adapters)) {
		d.Adapters = append(d.Adapters, &wire.Adapter{Name: name, Model: r.Adapters[name]})
	}
}
