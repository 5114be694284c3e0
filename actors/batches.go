package actors

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/lotabots/lotabots/actors/batch"
	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/cluster/spec"
)

// What is put together where the deployment does not say otherwise.
const (
	batchInputs    = 64
	batchInputsOut = 32 // of engines that somebody else runs: what Hugging Face's server takes unless told otherwise
	batchTokens    = 8192
	batchCalls     = 2
	batchWindow    = 2 * time.Millisecond
	batchRounds    = 4 // callers for so many calls wait here; others wait at their gateways
	embeddingsPath = "/v1/embeddings"
	rerankPath     = "/v1/rerank"
)

// batching is the stage that puts requests for embeddings together, and for ranks where their
// engine takes several queries in one call.
func (s *System) batching(next opening) opening {
	s.batches = batch.New(batch.Config{
		Open: next, Reserve: s.Reserve, Metrics: batch.NewMetrics(s.cfg.Registerer), Log: s.cfg.Log,
	})
	return func(ctx context.Context, target spec.Target, call *spec.Call, body []byte) (spec.Stream, error) {
		parse := parserOf(call)
		if parse == nil { // nearly always
			return next(ctx, target, call, body)
		}
		in := s.servedAt(target.Instance)
		if in == nil || in.limits.Callers == 0 || call.Path == rerankPath && in.GetEngine() != engine.Embedded || in.Deployment != call.Deployment || call.Version != 0 && in.Version != call.Version {
			return next(ctx, target, call, body)
		}
		r, ok := parse(body)
		if !ok {
			return next(ctx, target, call, body)
		}
		return s.batches.Serve(ctx, target, call, r, in.limits)
	}
}

// parserOf reads the call's body; nil: it is not put together with others.
func parserOf(c *spec.Call) func([]byte) (*batch.Request, bool) {
	switch {
	case c.Stream, c.HeadLength != 0, c.Method != "" && c.Method != http.MethodPost:
	case c.Path == embeddingsPath:
		return batch.Parse
	case c.Path == rerankPath:
		return batch.ParseRank
	}
	return nil
}

// batchLimits is what the deployment says, or what suits its engine; no Callers: nothing
// is put together.
func batchLimits(preset string, options map[string]string, e engine.Engine) batch.Limits {
	if options[engine.Batching] == "off" {
		return batch.Limits{}
	}
	slots := max(int(e.Slots()), 1)
	l := batch.Limits{Inputs: batchInputs, Tokens: batchTokens, Calls: min(batchCalls, slots), Window: batchWindow, Context: int(e.Context())}
	switch preset {
	case engine.Embedded: // which computes one after the other
		l.Calls = 1
	case engine.External:
		l.Inputs = batchInputsOut
	}
	number := func(name string, to *int) {
		if n, err := strconv.Atoi(options[name]); err == nil {
			*to = n
		}
	}
	number(engine.BatchInputs, &l.Inputs)
	number(engine.BatchTokens, &l.Tokens)
	number(engine.BatchCalls, &l.Calls)
	if us, err := strconv.Atoi(options[engine.BatchWindow]); err == nil {
		l.Window = time.Duration(us) * time.Microsecond
	}
	l.Callers = batchRounds * l.Inputs * l.Calls
	return l
}

// granter takes places that the device keeps: for gateways, or for calls that wait here.
// nil: none is kept.
func (s *System) granter(device spec.DeviceID) func(spec.Lease) {
	if s.cfg.Granted == nil {
		return nil
	}
	return func(l spec.Lease) {
		if l.Gateway == batch.Gateway {
			s.batches.Granted(device, l)
			return
		}
		s.cfg.Granted(l)
	}
}

// sharing is how many requests of the instance's go together now, and how many it takes.
func (s *System) sharing(id spec.InstanceID) (now, most int) {
	in := s.servedAt(id)
	if in == nil || in.limits.Callers == 0 {
		return 0, 0
	}
	return s.batches.Callers(id), in.limits.Callers
}
