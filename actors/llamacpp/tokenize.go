package llamacpp

import (
	"encoding/json"
	"net/http"

	"github.com/lotabots/lotabots/actors/llamacpp/openai"
	"github.com/lotabots/lotabots/cluster/spec"
)

// tokenize tells the tokens that a chat or a completion is to the model, the tools and the beginning of the answer
// included: vLLM's endpoint.
func (s *Server) tokenize(w http.ResponseWriter, r *http.Request, e *Engine) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	var fields struct {
		Messages json.RawMessage `json:"messages"`
	}
	kind := openai.Completion
	if json.Unmarshal(body, &fields) == nil && fields.Messages != nil {
		kind = openai.Chat
	}
	request, err := openai.ParseGeneration(kind, body)
	if err != nil {
		return err
	}
	if e.gen == nil && kind == openai.Chat {
		return &spec.Error{Code: spec.CodeUnsupported, Message: "the model makes embeddings only"}
	}
	if err := e.bounded(request); err != nil {
		return err
	}
	in, err := e.input(r.Context(), request, 0)
	if err != nil {
		return err
	}
	tokens := make([]int32, len(in.prompt))
	for i, t := range in.prompt {
		tokens[i] = int32(t)
	}
	writeJSON(w, http.StatusOK, map[string]any{"count": len(tokens), "max_model_len": e.context, "tokens": tokens})
	return nil
}
