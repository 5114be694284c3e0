package gateway

import (
	"maps"
	"slices"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/balance"
	"github.com/lotabots/lotabots/gateway/openai"
)

// tries gives d what its canary makes of it.
func (d *deployment) tries() {
	if c := d.Candidate(); c != nil {
		d.canary = &deployment{Deployment: c, placed: d.placed, adapter: d.adapter, limits: d.limits, trial: d}
		d.apart = apart(d.Deployment, c)
	}
}

// beside tells q of both versions, where d has a canary or is one; q asks for d's.
func (d *deployment) beside(q *balance.Query) {
	switch {
	case d.canary != nil:
		q.Canary, q.Own, q.Apart = d.canary.GetVersion(), d.GetVersion(), d.apart
	case d.trial != nil:
		d.trial.beside(q)
	}
}

// version is the one of d's versions that serves the request: its canary's for its part of the requests, one
// session's all by the same. What the canary cannot do is d's own.
func (x *inferring) version(r *request, check *openai.Request, d *deployment) *deployment {
	if d.canary == nil || r.draw("\x00canary") >= int(d.GetCanary().GetPercent()) {
		return d
	}
	able, context := r.g.table.Abilities(d.GetName(), d.canary.GetVersion())
	if able.Lacks(check.Needs) != 0 || fits(d.canary, context, x.endpoint, check) != nil {
		return d
	}
	return d.canary
}

// apart tells whether an answer that a begun cannot be gone on with by b: it may be of another model.
func apart(a, b *wire.Deployment) bool {
	return a.GetModel() != b.GetModel() || a.GetEngine() != b.GetEngine() || !maps.Equal(a.GetOptions(), b.GetOptions()) ||
		!slices.EqualFunc(a.GetAdapters(), b.GetAdapters(), func(x, y *wire.Adapter) bool { return x.GetModel() == y.GetModel() })
}

// Trials tells how requests of deployments with a canary have fared here, of those for which goes
// is true of the canary's version; the others are forgotten.
func (g *Gateway) Trials(goes func(deployment string, canary uint64) bool) []*wire.Trial {
	return g.relay.Trials(goes)
}
