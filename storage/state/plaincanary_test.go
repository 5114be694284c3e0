package state

import (
	"maps"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// randomTrial deploys chat, changes or removes it, begins, changes or ends its canary, or changes what both may run.
func randomTrial(t *rapid.T) *wire.Command {
	number := func(label string, most int) uint64 { return uint64(rapid.IntRange(0, most).Draw(t, label)) }
	model := func() string { return rapid.SampledFrom([]string{"", "m1", "m1", "m2"}).Draw(t, "model") }
	context := func() uint32 { return uint32(number("context", 2)) }
	switch rapid.SampledFrom([]string{"deploy", "deploy", "deploy", "undeploy", "model", "model", "remove model", "canary", "canary", "canary", "canary", "end", "promote"}).Draw(t, "trial") {
	case "deploy":
		return deploy(&wire.Deployment{Name: "chat", Engine: "embedded", Model: model(), Context: context(), Replicas: 1})
	case "undeploy":
		return undeploy("chat")
	case "model":
		return putModel("m"+rapid.SampledFrom([]string{"1", "2"}).Draw(t, "name"), rapid.SampledFrom([]string{"a", "b"}).Draw(t, "digest"))
	case "remove model":
		return removeModel("m2")
	case "end":
		return endCanary(1+number("version", 4), false)
	case "promote":
		return endCanary(1+number("version", 4), true)
	}
	percent := rapid.SampledFrom([]uint32{0, 10, 10, 100, 101}).Draw(t, "percent")
	return canary(0, percent, func(d *wire.Deployment) { d.Model, d.Context = model(), context() })
}

// informed has the author of a command about a canary know what there is of it.
func (p *plain) informed(c *wire.Command) {
	switch b := c.GetBody().(type) {
	case *wire.Command_PutCanary:
		b.PutCanary.ExpectRevision = p.deploys[b.PutCanary.Deployment].GetCanary().GetRevision()
	case *wire.Command_EndCanary:
		b.EndCanary.Version = max(p.deploys[b.EndCanary.Deployment].GetCanary().GetRuns().GetVersion(), 1)
		b.EndCanary.Revision = p.deploys[b.EndCanary.Deployment].GetCanary().GetRevision()
	}
}

// same tells whether the two run the same, of what the model test's commands tell apart.
func same(a, b *wire.Deployment) bool {
	return a.Model == b.Model && a.Engine == b.Engine && a.Context == b.Context && maps.Equal(a.Options, b.Options)
}

// nextVersion is one that the deployment never had.
func nextVersion(d *wire.Deployment) uint64 { return max(d.Version, d.LastVersion) + 1 }

// possible says what is wrong with a canary of d.
func (p *plain) possible(d *wire.Deployment, c *wire.Canary) spec.Code {
	switch {
	case c.Percent > 100, same(c.Runs, d):
		return spec.CodeInvalidRequest
	case c.Runs.Model != "" && p.models[c.Runs.Model] == nil:
		return spec.CodeNotFound
	}
	return ""
}

func (p *plain) putCanary(index uint64, b *wire.PutCanary, at int64) (spec.Code, uint64) {
	d := p.deploys[b.Deployment]
	if d == nil {
		return spec.CodeNotFound, 0
	}
	was, now := d.Canary, b.Canary
	if was.GetRevision() != b.ExpectRevision {
		return spec.CodeConflict, 0
	}
	if code := p.possible(d, now); code != "" {
		return code, 0
	}
	now.Runs = &wire.Deployment{Engine: now.Runs.Engine, Model: now.Runs.Model, Context: now.Runs.Context}
	if was != nil && same(was.Runs, now.Runs) {
		now.Runs.Version, now.BeganMs, now.Revision = was.Runs.Version, was.BeganMs, was.Revision
		if proto.Equal(now, was) {
			return "", now.Runs.Version
		}
	} else {
		if was != nil {
			d.GivenUp = was.Runs.Version
		}
		now.Runs.Version, now.BeganMs = nextVersion(d), at
		d.LastVersion = now.Runs.Version
	}
	now.Revision, d.Canary, d.ChangedMs = index, now, at
	p.touch(KindDeployment, d.Name)
	return "", now.Runs.Version
}

func (p *plain) endCanary(b *wire.EndCanary, at int64) (spec.Code, uint64) {
	d := p.deploys[b.Deployment]
	switch {
	case d == nil:
		return spec.CodeNotFound, 0
	case d.Canary == nil, d.Canary.Runs.Version != b.Version, b.Revision > 0 && b.Revision != d.Canary.Revision:
		return spec.CodeConflict, 0
	}
	if b.Promote {
		promoted(d)
	} else {
		d.GivenUp = b.Version
	}
	d.Canary, d.ChangedMs = nil, at
	p.touch(KindDeployment, d.Name)
	return "", d.Version
}

// promoted has d run what its canary does.
func promoted(d *wire.Deployment) {
	d.LastVersion = nextVersion(d) - 1
	r := d.Canary.Runs
	d.Version, d.Model, d.Engine, d.Context, d.Options = r.Version, r.Model, r.Engine, r.Context, r.Options
}

// reran gives d, which takes old's place, what old's versions and canary come to. The code says why not.
func (p *plain) reran(d, old *wire.Deployment) spec.Code {
	d.Canary, d.LastVersion, d.GivenUp = old.Canary, old.LastVersion, old.GivenUp
	switch {
	case same(d, old):
	case old.Canary != nil && same(d, old.Canary.Runs):
		promoted(d)
		d.Canary = nil
	default:
		d.Version = nextVersion(d)
	}
	if d.Canary == nil {
		return ""
	}
	return p.possible(d, d.Canary)
}

// remodelled gives what runs the model new versions: its content is another.
func (p *plain) remodelled(d *wire.Deployment, model string, at int64) {
	runs, tries := d.Model == model, d.Canary != nil && d.Canary.Runs.Model == model
	if !runs && !tries {
		return
	}
	newest := nextVersion(d) - 1
	if runs {
		newest++
		d.Version = newest
	}
	if tries {
		newest++
		d.GivenUp, d.Canary.Runs.Version, d.Canary.BeganMs = d.Canary.Runs.Version, newest, at
	}
	if d.Canary != nil {
		d.LastVersion = newest
	}
	d.ChangedMs = at
	p.touch(KindDeployment, d.Name)
}
