package state

import (
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// putCanary begins a canary, or changes it. What it runs gets a version of its own, which
// names the same thing for ever, also after the canary has been given up.
func (t *tx) putCanary(c *wire.PutCanary) *wire.Result {
	old, ok := deploys.get(t.view, c.GetDeployment())
	if !ok {
		return refuse(spec.CodeNotFound, "there is no deployment %q", c.GetDeployment())
	}
	canary := given(c.GetCanary())
	runs := given(canary.GetRuns())
	was := old.GetCanary()
	if was.GetRevision() != c.GetExpectRevision() {
		return refuse(spec.CodeConflict, "the canary of deployment %s is another by now", old.GetName())
	}
	if bad := t.checkCanary(old, canary); bad != nil {
		return bad
	}
	d := proto.CloneOf(old)
	canary.Runs = &wire.Deployment{}
	canary.Runs.Run(runs)
	if was != nil && runsAlike(runs, was.GetRuns()) {
		canary.Runs.Version, canary.BeganMs = was.GetRuns().GetVersion(), was.GetBeganMs()
	} else {
		if was != nil {
			d.GivenUp = was.GetRuns().GetVersion()
		}
		d.LastVersion = old.Newest() + 1
		canary.Runs.Version, canary.BeganMs = d.LastVersion, t.at
	}
	canary.Revision = was.GetRevision()
	if d.Canary = canary; proto.Equal(d, old) {
		return done(canary.GetRuns().GetVersion())
	}
	canary.Revision, d.ChangedMs = t.index, t.at
	deploys.put(t, d, old, true)
	return done(canary.GetRuns().GetVersion())
}

// checkCanary refuses what could not be told from the deployment, or does not exist.
func (t *tx) checkCanary(d *wire.Deployment, c *wire.Canary) *wire.Result {
	runs := c.GetRuns()
	switch {
	case c.GetPercent() > 100:
		return refuse(spec.CodeInvalidRequest, "a canary cannot serve %d percent of the requests", c.GetPercent())
	case runsAlike(runs, d):
		return refuse(spec.CodeInvalidRequest, "the canary runs what deployment %s runs", d.GetName())
	}
	if name := runs.GetModel(); name != "" {
		if _, ok := models.get(t.view, name); !ok {
			return refuse(spec.CodeNotFound, "there is no model %q to deploy", name)
		}
	}
	if len(runs.GetAdapters()) != len(d.GetAdapters()) {
		return refuse(spec.CodeInvalidRequest, "the canary must have the adapters' names of deployment %s", d.GetName())
	}
	names := map[string]bool{}
	for _, a := range d.GetAdapters() {
		names[a.GetName()] = true
	}
	for _, a := range runs.GetAdapters() {
		if !names[a.GetName()] {
			return refuse(spec.CodeInvalidRequest, "the canary must have the adapters' names of deployment %s", d.GetName())
		}
		delete(names, a.GetName())
		if _, ok := models.get(t.view, a.GetModel()); !ok {
			return refuse(spec.CodeNotFound, "there is no model %q for the adapter %s", a.GetModel(), a.GetName())
		}
	}
	return nil
}

// endCanary has the deployment run what its canary runs, or ends the canary without that.
func (t *tx) endCanary(c *wire.EndCanary) *wire.Result {
	old, ok := deploys.get(t.view, c.GetDeployment())
	if !ok {
		return refuse(spec.CodeNotFound, "there is no deployment %q", c.GetDeployment())
	}
	if have := old.GetCanary().GetRevision(); !old.Tries(c.GetVersion()) || c.GetRevision() > 0 && c.GetRevision() != have {
		return refuse(spec.CodeConflict, "deployment %s has no canary of version %d", old.GetName(), c.GetVersion())
	}
	d := proto.CloneOf(old)
	d.Canary, d.ChangedMs = nil, t.at
	if c.GetPromote() {
		promote(d, old)
	} else {
		d.GivenUp = c.GetVersion()
	}
	deploys.put(t, d, old, true)
	return done(d.GetVersion())
}

// promote has d run what old's canary runs. A version given since is not given again.
func promote(d, old *wire.Deployment) {
	d.LastVersion = old.Newest()
	d.Run(old.GetCanary().GetRuns())
}

// rerun gives what the deployment runs from now on its version, where it ran as old did: the
// canary's, which has taken its place, where it is that.
func rerun(d, old *wire.Deployment) {
	switch c := old.GetCanary().GetRuns(); {
	case runsAlike(d, old):
	case c != nil && runsAlike(d, c):
		d.Canary = nil
		promote(d, old)
	default:
		d.Version = old.Newest() + 1
	}
}
