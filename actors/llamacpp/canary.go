package llamacpp

import (
	"context"
	"net/http"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Canary has the loop compute one token, unless it computes anyway, and returns once
// it has. Of what slots hold for later requests nothing is lost.
func (e *Engine) Canary(ctx context.Context) error {
	if e.gen == nil { // an encoder keeps nothing: whoever asks may ask for an embedding
		return spec.Errorf(spec.CodeUnsupported, "the model writes nothing")
	}
	answer := make(chan error, 1)
	for send := e.gen.canaries; ; send = nil {
		select {
		case send <- answer:
		case err := <-answer:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-e.gen.done:
			return spec.Errorf(spec.CodeDraining, "the engine is stopping")
		}
	}
}

// sing decodes one token behind what an idle slot holds, and forgets it again. Where
// requests run, or no slot can forget one token, that the loop answers is all.
func (g *generator) sing() error {
	var s *slot
	for _, idle := range g.slots {
		if g.running() == 0 && len(idle.held) < g.context && (s == nil || len(idle.held) < len(s.held)) {
			s = idle
		}
	}
	if s == nil || g.model.whole && len(s.held) > 0 {
		return nil
	}
	keep := len(s.held)
	g.batch.NTokens = 0
	g.add(s, 0, true)
	code, err := llama.Decode(g.ctx, g.batch)
	if err != nil || code != 0 {
		g.fail(code, err)
		return spec.Errorf(spec.CodeUpstream, "llama.cpp failed to decode one token (%d)", code)
	}
	if err := llama.Synchronize(g.ctx); err != nil { // a GPU computes on after the call has returned
		return err
	}
	g.forget(s, keep)
	return nil
}

func (s *Server) canary(w http.ResponseWriter, r *http.Request, e *Engine) error {
	err := e.Canary(r.Context())
	if err == nil {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	}
	return err
}
