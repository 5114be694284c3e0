package gateway

import (
	"context"
	"encoding/hex"
	"slices"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/access"
)

// modelDetail is one model, and where its files are.
type modelDetail struct {
	modelView
	Parts       []partView      `json:"parts"`
	Homes       []string        `json:"homes"` // nodes that are to have it
	Copies      []nodeCopy      `json:"copies"`
	Coming      []ModelTransfer `json:"coming"`
	Checks      []ModelCheck    `json:"checks"`
	Deployments []string        `json:"deployments"`
	Silent      []string        `json:"silent"` // nodes that did not tell
}

type partView struct {
	Path   string `json:"path"`
	Size   uint64 `json:"size"`
	Digest string `json:"digest"`
}

type nodeCopy struct {
	Node string `json:"node"`
	ModelCopy
}

func showModelFile(r *request) error {
	m, ok := r.g.cfg.State.Model(r.param("name"))
	if !ok {
		return spec.Errorf(spec.CodeNotFound, "There is no model %q.", clip(r.param("name"), 100))
	}
	if r.g.cfg.Models == nil {
		return r.elsewhere("tell where models are")
	}
	d := modelDetail{modelView: viewModel(m), Parts: []partView{}, Homes: append([]string{}, r.g.cfg.Models.Homes(m.GetName())...),
		Copies: []nodeCopy{}, Coming: []ModelTransfer{}, Checks: []ModelCheck{}, Deployments: []string{}, Silent: []string{}}
	for _, p := range m.GetParts() {
		d.Parts = append(d.Parts, partView{p.GetPath(), p.GetSize(), hex.EncodeToString(p.GetDigest())})
	}
	d.Deployments = append(d.Deployments, r.usersOf(m.GetName())...)
	if !r.who.May(access.NodesRead, access.Cluster) {
		d.Homes = []string{} // which nodes there are is not for everybody who may see models
		return r.json(200, d)
	}
	ctx, cancel := r.operate()
	defer cancel()
	for _, n := range r.g.cfg.Models.Copies(ctx) {
		if n.Error != "" {
			d.Silent = append(d.Silent, n.Node)
		}
		for _, c := range n.Models {
			if c.Digest == d.Digest {
				d.Copies = append(d.Copies, nodeCopy{n.Node, c})
			}
		}
		for _, t := range n.Coming {
			if t.Digest == d.Digest {
				d.Coming = append(d.Coming, t)
			}
		}
		for _, c := range n.Checks {
			if c.Digest == d.Digest {
				d.Checks = append(d.Checks, c)
			}
		}
	}
	return r.json(200, d)
}

// usersOf are the deployments that name the model and that the caller may see.
func (r *request) usersOf(model string) (names []string) {
	for cursor := ""; ; {
		page, next := r.g.cfg.State.DeploymentsPage("", cursor, 1000)
		for _, d := range page {
			if d.GetModel() != model && !slices.ContainsFunc(d.GetAdapters(), func(a *wire.Adapter) bool { return a.GetModel() == model }) {
				continue
			}
			if r.who.May(access.DeploymentsRead, access.Resource{Kind: access.KindDeployment, Name: d.GetName(), Tenant: d.GetTenant()}) {
				names = append(names, d.GetName())
			}
		}
		if next == "" {
			return names
		}
		cursor = next
	}
}

// files is the part of a gateway that has to do with model files.
func (r *request) files() (Models, error) {
	if r.g.cfg.Models == nil {
		return nil, r.elsewhere("see to models")
	}
	return r.g.cfg.Models, nil
}

func verifyModel(r *request) error {
	files, err := r.files()
	if err != nil {
		return err
	}
	ctx, cancel := r.operate()
	defer cancel()
	checks, err := files.Verify(ctx, r.param("name"))
	if err != nil {
		return err
	}
	return r.json(200, struct {
		Data []ModelCheck `json:"data"`
	}{checks})
}

func pullModel(r *request) error {
	var ask struct {
		URL    string `json:"url"`
		Digest string `json:"digest"`
	}
	f, err := r.decode(&ask)
	if err != nil {
		return err
	}
	name := r.param("name")
	f.check(nameForm.MatchString(name), "name", nameRule)
	f.check(ask.URL != "", "url", "is missing")
	f.check(ask.Digest != "", "digest", "is missing: sha256: and the file's SHA-256")
	if err := f.err(); err != nil {
		return err
	}
	files, err := r.files()
	if err != nil {
		return err
	}
	if err := r.must(access.ModelsPull, access.Cluster); err != nil {
		return err
	}
	t, err := files.Pull(r.asked(), name, ask.URL, ask.Digest)
	if err != nil {
		return err
	}
	return r.json(200, t)
}

func cancelPull(r *request) error {
	files, err := r.files()
	if err != nil {
		return err
	}
	ctx, cancel := r.operate()
	defer cancel()
	return r.removed(r.param("name"), files.CancelPull(ctx, r.param("name")))
}

func showStorage(r *request) error {
	return r.storage(Models.Storage)
}

func collectStorage(r *request) error {
	return r.storage(Models.Collect)
}

func (r *request) storage(ask func(Models, context.Context) []NodeStorage) error {
	files, err := r.files()
	if err != nil {
		return err
	}
	ctx, cancel := r.operate()
	defer cancel()
	return r.json(200, struct {
		Data []NodeStorage `json:"data"`
	}{ask(files, ctx)})
}
