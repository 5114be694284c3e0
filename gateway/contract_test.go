package gateway_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/lotabots/lotabots/gateway/api"
)

// document loads the description and checks it.
func document(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(api.YAML())
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return doc
}

// sample is a request that the contract is tried with.
type sample struct {
	method, path, body string
	status             int
	bad                bool // the request itself breaks the contract
}

var samples = []sample{
	{"POST", "/v1/chat/completions", chatBody, 200, false},
	{"POST", "/v1/chat/completions", streamBody, 200, false},
	{"POST", "/v1/chat/completions", `{"model":"m","messages":[],"n":0,"stream":1}`, 400, true},
	{"POST", "/v1/chat/completions", `{`, 400, true},
	{"POST", "/v1/chat/completions", `{"model":"none","messages":[{"role":"user"}]}`, 404, false},
	{"POST", "/v1/completions", `{"model":"m","prompt":"x"}`, 200, false},
	{"POST", "/v1/embeddings", `{"model":"m","input":["x","y"]}`, 502, false}, // this engine has no path for it
	{"GET", "/v1/models", "", 200, false},
	{"HEAD", "/v1/models", "", 200, false},
	{"GET", "/v1/models/m", "", 200, false},
	{"HEAD", "/v1/models/m", "", 200, false},
	{"GET", "/v1/models/none", "", 404, false},
	{"GET", "/healthz", "", 200, false}, {"HEAD", "/healthz", "", 200, false},
	{"GET", "/readyz", "", 200, false}, {"HEAD", "/readyz", "", 200, false},
	{"GET", "/metrics", "", 200, false}, {"HEAD", "/metrics", "", 200, false},
	{"GET", "/openapi.json", "", 200, false}, {"HEAD", "/openapi.json", "", 200, false},
	{"GET", "/admin/v1/status", "", 200, false}, {"HEAD", "/admin/v1/status", "", 200, false},
	{"GET", "/admin/v1/status?consistency=linearizable", "", 200, false},
	{"GET", "/admin/v1/state", "", 200, false}, {"HEAD", "/admin/v1/state", "", 200, false},
	{"GET", "/admin/v1/keys?consistency=linear", "", 400, true},
	{"GET", "/admin/v1/nodes", "", 200, false}, {"HEAD", "/admin/v1/nodes", "", 200, false},
	{"GET", "/admin/v1/nodes?limit=0", "", 400, true},
	{"POST", "/admin/v1/nodes/n1/reload", "", 200, false},
	{"POST", "/admin/v1/nodes/none/reload", "", 404, false},
	{"POST", "/admin/v1/nodes/n1/drain", "", 200, false},
	{"POST", "/admin/v1/nodes/n1/resume", "", 200, false},
	{"POST", "/admin/v1/nodes/none/resume", "", 404, false},
	{"DELETE", "/admin/v1/nodes/n1", "", 200, false},
	{"POST", "/admin/v1/leadership/transfer", "", 200, false},
	{"PUT", "/admin/v1/models/g", "GGUF and more", 200, false},
	{"GET", "/admin/v1/models", "", 200, false}, {"HEAD", "/admin/v1/models", "", 200, false},
	{"PUT", "/admin/v1/deployments/d", `{"engine":"embedded","model":"g","replicas":2,"regions":["north"],"options":{"a":"b"}}`, 200, false},
	{"PUT", "/admin/v1/deployments/d", `{"engine":"embedded","model":"none","replicas":-1,"what":1}`, 400, true},
	{"GET", "/admin/v1/deployments", "", 200, false}, {"HEAD", "/admin/v1/deployments", "", 200, false},
	{"GET", "/admin/v1/placements", "", 200, false}, {"HEAD", "/admin/v1/placements", "", 200, false},
	{"DELETE", "/admin/v1/deployments/d", "", 200, false},
	{"DELETE", "/admin/v1/deployments/d", "", 404, false},
	{"DELETE", "/admin/v1/models/g", "", 200, false},
	{"POST", "/admin/v1/keys", `{"name":"new","scopes":["infer"],"models":["m*"],"requests_per_minute":5,"ttl_seconds":60}`, 201, false},
	{"POST", "/admin/v1/keys", `{"name":"","scopes":["root"]}`, 400, true},
	{"GET", "/admin/v1/keys", "", 200, false}, {"HEAD", "/admin/v1/keys", "", 200, false},
	{"DELETE", "/admin/v1/keys/infxxxx", "", 200, false},
	{"DELETE", "/admin/v1/keys/none", "", 404, false},
	{"PUT", "/admin/v1/tenants/acme", `{"name":"Acme","auth_max_age_seconds":-1}`, 200, false},
	{"PUT", "/admin/v1/tenants/acme", `{"nome":"Acme","auth_max_age_seconds":"x"}`, 400, true},
	{"GET", "/admin/v1/tenants", "", 200, false}, {"HEAD", "/admin/v1/tenants", "", 200, false},
	{"PUT", "/admin/v1/settings/colour", `{"value":"red"}`, 200, false},
	{"PUT", "/admin/v1/settings/colour", `{}`, 400, true},
	{"GET", "/admin/v1/settings", "", 200, false}, {"HEAD", "/admin/v1/settings", "", 200, false},
	{"POST", "/admin/v1/tokens", `{"role":"worker","uses":2,"ttl_seconds":600}`, 201, false},
	{"POST", "/admin/v1/tokens", `{"role":"king","uses":0}`, 400, true},
	{"GET", "/admin/v1/backup?recipient=age1one&recipient=age1two", "", 200, false},
	{"GET", "/admin/v1/backup", "", 400, true},
}

// TestContract sends real requests, and holds requests and answers to the description.
func TestContract(t *testing.T) {
	r := newRig(t)
	r.node("n1", "north", 4, func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		req.Body = io.NopCloser(bytes.NewReader(body))
		switch {
		case strings.Contains(string(body), `"stream":true`):
			streamed(w, req)
		case req.URL.Path == "/v1/embeddings":
			w.WriteHeader(500)
		default:
			whole(w, req)
		}
	})
	doc := document(t)
	find, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	tried := map[string]bool{}
	options := &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}
	openapi3filter.RegisterBodyDecoder("text/event-stream", openapi3filter.FileBodyDecoder)
	for _, s := range samples {
		res, body := r.do(r.admin, s.method, s.path, s.body)
		if res.StatusCode != s.status {
			t.Errorf("%s %s %s: %d %s, want %d", s.method, s.path, s.body, res.StatusCode, body, s.status)
		}
		req, _ := http.NewRequest(s.method, s.path, strings.NewReader(s.body))
		req.URL, _ = url.Parse(s.path)
		if s.body != "" {
			req.Header.Set("Content-Type", "application/json")
			if strings.Contains(s.path, "/models/") {
				req.Header.Set("Content-Type", "application/octet-stream")
			}
		}
		route, params, err := find.FindRoute(req)
		if err != nil {
			t.Errorf("%s %s is not documented: %v", s.method, s.path, err)
			continue
		}
		tried[s.method+" "+route.Path] = true
		in := &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route, Options: options}
		if err := openapi3filter.ValidateRequest(context.Background(), in); (err != nil) != s.bad {
			t.Errorf("%s %s %s: the description says %v", s.method, s.path, s.body, err)
		}
		out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: res.StatusCode, Header: res.Header,
			Body: io.NopCloser(strings.NewReader(body)), Options: options}
		if err := openapi3filter.ValidateResponse(context.Background(), out); err != nil && s.method != "HEAD" {
			t.Errorf("answer to %s %s: %v", s.method, s.path, err)
		}
	}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			if !tried[method+" "+path] {
				t.Errorf("no sample of %s %s", method, path)
			}
		}
	}
}

// TestEveryRouteIsDocumented compares the router with the description.
func TestEveryRouteIsDocumented(t *testing.T) {
	doc, r := document(t), newRig(t)
	for method, paths := range r.g.Routes() {
		for _, path := range paths {
			path = strings.ReplaceAll(path, ":*}", "}")
			item := doc.Paths.Value(path)
			if item == nil || item.GetOperation(method) == nil {
				t.Errorf("%s %s is served and not documented", method, path)
			}
		}
	}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			found := false
			for _, p := range r.g.Routes()[method] {
				found = found || strings.ReplaceAll(p, ":*}", "}") == path
			}
			if !found {
				t.Errorf("%s %s is documented and not served", method, path)
			}
		}
	}
}
