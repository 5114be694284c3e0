package engine

import (
	"context"
	"net/http"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
)

// nativeAPIs is the option by which requests of Anthropic's Messages and OpenAI's Responses
// reach an engine that speaks them as they came. Without it they are translated, so that a
// stream may go on at another instance: vLLM and SGLang themselves make chat completions of them.
const nativeAPIs = "native"

// Where engines have those.
const (
	messagesPath  = "/v1/messages"
	responsesPath = "/v1/responses"
	native        = spec.AbleMessages | spec.AbleResponses
)

// A description is what is read of an engine's openapi.json.
type description struct {
	Paths map[string]struct {
		Post struct {
			Body struct {
				Content map[string]struct {
					Schema struct {
						Ref string `json:"$ref"`
					} `json:"schema"`
				} `json:"content"`
			} `json:"requestBody"`
		} `json:"post"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]struct {
			Properties map[string]any `json:"properties"`
		} `json:"schemas"`
	} `json:"components"`
}

// nativeAble is which of the client's APIs the running program lacks, as its own description has
// it. One that could not keep tenants' beginnings of prompts apart there is not asked in it,
// unless they may be shared.
func (p *python) nativeAble(ctx context.Context, w *web) (a spec.Abilities) {
	if p.options[nativeAPIs] != "on" {
		return a
	}
	var d description
	known := w.call(ctx, http.MethodGet, "/openapi.json", nil, &d) == nil && len(d.Paths) > 0
	shared := p.options[sharePrefixes] == "on"
	for path, api := range map[string]spec.Ability{messagesPath: spec.AbleMessages, responsesPath: spec.AbleResponses} {
		_, has := d.Paths[path]
		switch {
		case known && has && (shared || d.salts(path)):
			a.Can |= api
		case known || !shared:
			a.Cannot |= api
		}
	}
	return a
}

// salts tells whether requests to path may have a cache_salt.
func (d *description) salts(path string) bool {
	_, name, _ := strings.Cut(d.Paths[path].Post.Body.Content["application/json"].Schema.Ref, "#/components/schemas/")
	_, ok := d.Components.Schemas[name].Properties["cache_salt"]
	return ok
}
