package gateway

import (
	"github.com/lotabots/lotabots/gateway/api"
)

// showDocs serves the description as a page.
func showDocs(r *request) error {
	h := &r.ctx.Response.Header
	h.SetContentType("text/html; charset=utf-8")
	h.Set("Content-Security-Policy", api.DocsPolicy())
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	r.ctx.Response.SetBodyRaw(api.Docs())
	return nil
}

// showRoot tells who came to the address itself what is where.
func showRoot(r *request) error {
	return r.json(200, struct {
		Name    string `json:"name"`
		Version string `json:"version"`
		Docs    string `json:"docs"`
		OpenAPI string `json:"openapi"`
		OpenAI  string `json:"openai_base"`
		Models  string `json:"models"`
		Health  string `json:"health"`
	}{"lotabots", r.g.cfg.Version, "/docs", "/openapi.json", "/v1", "/v1/models", "/healthz"})
}
