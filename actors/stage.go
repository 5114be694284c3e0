package actors

import (
	"context"

	"go.opentelemetry.io/otel/trace"

	"github.com/lotabots/lotabots/actors/batch"
	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// An opening serves one call on one instance of this node, as spec.Opener does. It
// may keep call and body until its stream is closed, and changes neither.
type opening func(ctx context.Context, target spec.Target, call *spec.Call, body []byte) (spec.Stream, error)

// A stage stands between the calls that this node may serve and their admission to
// an engine: it answers a call itself, or has next do so. What it answers itself takes
// no slot. Calls come from any goroutine.
type stage func(next opening) opening

// stages are those before the engine, the first one first: what is known already is
// answered before what is left is put together.
func (s *System) stages() []stage { return []stage{s.recalling, s.batching} }

// unstaged tells whether all stages would only pass the call on, as they do with nearly all.
func unstaged(call *spec.Call) bool { return call.Cache == nil && parserOf(call) == nil }

// through is the way of a call through all stages to its engine.
func (s *System) through(o opener) opening {
	next := opening(o.engine)
	stages := s.stages()
	for i := len(stages) - 1; i >= 0; i-- {
		next = stages[i](next)
	}
	return next
}

// engine admits the call and asks the engine.
func (o opener) engine(ctx context.Context, target spec.Target, call *spec.Call, body []byte) (spec.Stream, error) {
	parent := o.s.continued(ctx, call)
	_, admitting := o.s.span(parent, "actor.admit", target, call, trace.SpanKindInternal)
	p, load, err := o.admit(ctx, o.s.pids[target.Device], target, call)
	endSpan(admitting, err)
	if err != nil {
		return nil, err
	}
	return o.request(parent, p, load, target, call, body)
}

// A served is an instance that has an engine: how it was placed, which nobody changes,
// and its engine.
type served struct {
	*wire.LoadModel
	engine engine.Engine
	limits batch.Limits
}

// serves takes in that the instance has an engine, or has none any more: nil. It is
// called by its device's actor.
func (s *System) serves(id spec.InstanceID, load *wire.LoadModel, e engine.Engine) {
	if e == nil {
		s.served.Delete(id)
		s.batches.Forget(id)
		return
	}
	s.served.Store(id, &served{load, e, batchLimits(load.GetEngine(), load.GetOptions(), e)})
}

// servedAt is the instance, nil: it has no engine.
func (s *System) servedAt(id spec.InstanceID) *served {
	v, _ := s.served.Load(id)
	in, _ := v.(*served)
	return in
}
