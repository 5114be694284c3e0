package actors

import (
	"github.com/lotabots/lotabots/actors/batch"
	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/cluster/spec"
)

// sharing takes in whose request it is, before the engine gets it: what the engine tells of its cache from then on may
// be about that tenant.
func (x *stream) sharing(e engine.Engine, call *spec.Call) {
	if x.tenants = engine.MixedBy(e); x.tenants == nil { // nearly always
		return
	}
	if call.Gateway == batch.Gateway && call.Tenant == "" { // it is put together of several tenants'
		x.tenants.Mix()
	} else {
		x.tenants.Serve(call.Tenant)
	}
	x.messages = engine.IsMessages(call.Path)
}

// hide has the answer's next piece tell nothing of the engine's cache.
func (x *stream) hide(b []byte) {
	if x.blank == nil {
		x.blank = &engine.Blanking{Messages: x.messages}
	}
	x.blank.Blank(b)
}

var _ spec.Hiding = (*stream)(nil)

// Hides implements spec.Hiding.
func (x *stream) Hides() bool { return x.tenants.Shared() }
