package gateway_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

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
	{"POST", "/v1/rerank", `{"model":"m","query":"x","documents":["y",{"text":"z"}],"top_n":1}`, 200, false},
	{"POST", "/v1/rerank", `{"model":"m","query":"","documents":[]}`, 400, true},
	{"POST", "/v2/rerank", `{"model":"m","query":"x","documents":["y"]}`, 200, false},
	{"POST", "/rerank", `{"model":"m","query":"x","documents":["y"]}`, 200, false},
	{"POST", "/v1/messages", `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}],"thinking":{"type":"adaptive"}}`, 200, false},
	{"POST", "/v1/messages", `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}],"stream":true}`, 200, false},
	{"POST", "/v1/messages", `{"model":"m","messages":[{"role":"king","content":7}]}`, 400, true},
	{"POST", "/v1/messages", `{"model":"none","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`, 404, false},
	{"POST", "/v1/messages/count_tokens", `{"model":"m","messages":[{"role":"user","content":"hi"}]}`, 200, false},
	{"POST", "/v1/messages/count_tokens", `{"model":"m"}`, 400, true},
	{"POST", "/v1/responses", `{"model":"m","input":"hi","instructions":"be kind"}`, 200, false},
	{"POST", "/v1/responses", `{"model":"m","input":"hi","stream":true}`, 200, false},
	{"POST", "/v1/responses", `{"model":"m","input":[]}`, 400, true},
	{"POST", "/v1/responses", `{"model":"m","input":"hi","previous_response_id":"resp_1"}`, 400, false},
	{"POST", "/v1/responses/input_tokens", `{"model":"m","input":"hi"}`, 200, false},
	{"POST", "/v1/responses/input_tokens", `{"model":"m"}`, 400, true},
	{"GET", "/v1/responses/resp_1", "", 404, false},
	{"DELETE", "/v1/responses/resp_1", "", 404, false},
	{"POST", "/v1/audio/transcriptions", soundForm, 200, false},
	{"POST", "/v1/audio/transcriptions", strings.Replace(soundForm, "\r\nm\r\n", "\r\n\r\n", 1), 400, true},
	{"POST", "/v1/audio/translations", soundForm, 200, false},
	{"POST", "/v1/audio/speech", `{"model":"m","input":"hi","voice":"alloy"}`, 200, false},
	{"POST", "/v1/audio/speech", `{"model":"m","input":["hi"]}`, 400, true},
	{"POST", "/v1/images/generations", `{"model":"m","prompt":"a fox","n":1}`, 200, false},
	{"POST", "/v1/images/generations", `{"model":"m"}`, 400, true},
	{"GET", "/v2", "", 200, false}, {"HEAD", "/v2", "", 200, false},
	{"GET", "/v2/health/live", "", 200, false}, {"HEAD", "/v2/health/live", "", 200, false},
	{"GET", "/v2/health/ready", "", 200, false}, {"HEAD", "/v2/health/ready", "", 200, false},
	{"GET", "/v2/models/m", "", 200, false}, {"HEAD", "/v2/models/m", "", 200, false},
	{"GET", "/v2/models/none", "", 404, false},
	{"GET", "/v2/models/m/ready", "", 200, false}, {"HEAD", "/v2/models/m/ready", "", 200, false},
	{"POST", "/v2/models/m/infer", `{"inputs":[{"name":"IN","datatype":"FP32","shape":[1],"data":[1]}]}`, 200, false},
	{"GET", "/v2/models/m/versions/3", "", 200, false}, {"HEAD", "/v2/models/m/versions/3", "", 200, false},
	{"GET", "/v2/models/m/versions/x", "", 400, true},
	{"GET", "/v2/models/m/versions/3/ready", "", 200, false}, {"HEAD", "/v2/models/m/versions/3/ready", "", 200, false},
	{"POST", "/v2/models/m/versions/3/infer", `{"inputs":[]}`, 200, false},
	{"GET", "/v1/models", "", 200, false},
	{"HEAD", "/v1/models", "", 200, false},
	{"GET", "/v1/models/m", "", 200, false},
	{"HEAD", "/v1/models/m", "", 200, false},
	{"GET", "/v1/models/none", "", 404, false},
	{"GET", "/healthz", "", 200, false}, {"HEAD", "/healthz", "", 200, false},
	{"GET", "/readyz", "", 200, false}, {"HEAD", "/readyz", "", 200, false},
	{"GET", "/metrics", "", 200, false}, {"HEAD", "/metrics", "", 200, false},
	{"GET", "/docs", "", 200, false}, {"HEAD", "/docs", "", 200, false}, {"GET", "/", "", 200, false}, {"HEAD", "/", "", 200, false},
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
	{"PUT", "/admin/v1/models/dir?form=folder", "a tar", 200, false}, {"PUT", "/admin/v1/models/dir?form=heap", "a tar", 400, true},
	{"GET", "/admin/v1/models/g", "", 200, false}, {"HEAD", "/admin/v1/models/g", "", 200, false}, {"GET", "/admin/v1/models/none", "", 404, false},
	{"GET", "/admin/v1/models/dir", "", 200, false},
	{"POST", "/admin/v1/models/g/verify", "", 200, false},
	{"POST", "/admin/v1/models/h/pull", `{"url":"https://h/a.gguf","digest":"sha256:00"}`, 200, false}, {"POST", "/admin/v1/models/h/pull", `{"url":""}`, 400, true},
	{"DELETE", "/admin/v1/models/h/pull", "", 200, false},
	{"GET", "/admin/v1/storage", "", 200, false}, {"HEAD", "/admin/v1/storage", "", 200, false}, {"POST", "/admin/v1/storage/collect", "", 200, false},
	{"GET", "/admin/v1/models", "", 200, false}, {"HEAD", "/admin/v1/models", "", 200, false},
	{"PUT", "/admin/v1/deployments/d", `{"engine":"embedded","model":"g","replicas":2,"regions":["north"],"options":{"a":"b"}}`, 200, false},
	{"PUT", "/admin/v1/deployments/d", `{"engine":"embedded","model":"none","replicas":-1,"what":1}`, 400, true},
	{"GET", "/admin/v1/deployments", "", 200, false}, {"HEAD", "/admin/v1/deployments", "", 200, false},
	{"PUT", "/admin/v1/deployments/d", `{"engine":"embedded","model":"g","cache":"deterministic","cache_ttl_seconds":60,"cache_max_bytes":2097152,"cache_scope":"shared"}`, 200, false},
	{"PUT", "/admin/v1/deployments/d", `{"engine":"embedded","model":"g","cache":"always"}`, 400, true},
	{"PATCH", "/admin/v1/deployments/d/canary", `{"context":512,"percent":25,"replicas":2,"judge_after_seconds":60,"judge_slower":2}`, 200, false},
	{"PATCH", "/admin/v1/deployments/d/canary", `{"percent":50}`, 200, false},
	{"PATCH", "/admin/v1/deployments/d/canary", `{"percent":101,"replicas":0,"model":"none","judge_requests":5,"judge_failures":2,"judge_slower":0.5}`, 400, true},
	{"PATCH", "/admin/v1/deployments/none/canary", `{}`, 404, false},
	{"GET", "/admin/v1/deployments", "", 200, false},
	{"POST", "/admin/v1/deployments/d/canary/promote", "", 200, false}, {"POST", "/admin/v1/deployments/d/canary/promote", "", 404, false},
	{"PATCH", "/admin/v1/deployments/d/canary", `{"context":1024}`, 200, false},
	{"DELETE", "/admin/v1/deployments/d/canary", "", 200, false}, {"DELETE", "/admin/v1/deployments/d/canary", "", 404, false},
	{"GET", "/admin/v1/cache", "", 200, false}, {"HEAD", "/admin/v1/cache", "", 200, false},
	{"POST", "/admin/v1/cache/purge", `{"deployment":"d","tenant":"t1"}`, 200, false},
	{"POST", "/admin/v1/cache/purge", `{"key":"short"}`, 400, true},
	{"POST", "/admin/v1/plan", `{"name":"d","deployment":{"engine":"embedded","model":"g","slots":2}}`, 200, false},
	{"POST", "/admin/v1/plan", `{"name":"d","deployment":{"engine":"embedded","model":"not-here"},"file":{"size":5}}`, 200, false},
	{"POST", "/admin/v1/plan", `{"name":"d","deployment":{"engine":"embedded","model":"none","colour":1}}`, 400, true},
	{"POST", "/admin/v1/plan", `{"name":"d"}`, 400, true},
	{"GET", "/admin/v1/placements", "", 200, false}, {"HEAD", "/admin/v1/placements", "", 200, false},
	{"DELETE", "/admin/v1/deployments/d", "", 200, false},
	{"DELETE", "/admin/v1/deployments/d", "", 404, false},
	{"DELETE", "/admin/v1/models/g", "", 200, false},
	{"POST", "/admin/v1/keys", `{"name":"new","scopes":["infer"],"models":["m*"],"requests_per_minute":5,"ttl_seconds":60}`, 201, false},
	{"POST", "/admin/v1/keys", `{"name":"","scopes":["root"]}`, 400, true},
	{"GET", "/admin/v1/keys", "", 200, false}, {"HEAD", "/admin/v1/keys", "", 200, false},
	{"GET", "/admin/v1/keys/infxxxx", "", 200, false}, {"HEAD", "/admin/v1/keys/infxxxx", "", 200, false},
	{"PATCH", "/admin/v1/keys/infxxxx", `{"name":"other","models":["m*"],"addresses":["127.0.0.0/8"],"regions":["north"],"endpoints":["/v1/*"]}`, 200, false},
	{"PATCH", "/admin/v1/keys/infxxxx", `{"name":7,"scopes":["no.verb"],"addresses":["x"]}`, 400, true},
	{"POST", "/admin/v1/keys/infxxxx/rotate", `{"overlap_seconds":5}`, 200, false},
	{"POST", "/admin/v1/keys/infxxxx/rotate", ``, 200, false},
	{"POST", "/admin/v1/keys/none/rotate", `{}`, 404, false},
	{"DELETE", "/admin/v1/keys/infxxxx", "", 200, false},
	{"DELETE", "/admin/v1/keys/none", "", 404, false},
	{"PUT", "/admin/v1/tenants/acme", `{"name":"Acme","auth_max_age_seconds":0}`, 200, false},
	{"DELETE", "/admin/v1/tenants/acme", "", 200, false},
	{"DELETE", "/admin/v1/tenants/acme", "", 404, false},
	{"PUT", "/admin/v1/tenants/acme", `{"nome":"Acme","auth_max_age_seconds":"x"}`, 400, true},
	{"GET", "/admin/v1/tenants", "", 200, false}, {"HEAD", "/admin/v1/tenants", "", 200, false},
	{"PUT", "/admin/v1/settings/colour", `{"value":"red"}`, 200, false},
	{"PUT", "/admin/v1/settings/colour", `{}`, 400, true},
	{"DELETE", "/admin/v1/settings/colour", "", 200, false},
	{"PUT", "/admin/v1/secrets/oidc-client", `{"value":"shh"}`, 200, false},
	{"PUT", "/admin/v1/secrets/other", `{"value":"shh"}`, 404, false},
	{"GET", "/admin/v1/settings", "", 200, false}, {"HEAD", "/admin/v1/settings", "", 200, false},
	{"GET", "/admin/v1/tokens", "", 200, false}, {"HEAD", "/admin/v1/tokens", "", 200, false},
	{"DELETE", "/admin/v1/tokens/tok", "", 200, false},
	{"DELETE", "/admin/v1/tokens/none", "", 404, false},
	{"POST", "/admin/v1/tokens", `{"role":"worker","uses":2,"ttl_seconds":600}`, 201, false},
	{"POST", "/admin/v1/tokens", `{"role":"king","uses":0}`, 400, true},
	{"GET", "/admin/v1/backup?recipient=age1one&recipient=age1two", "", 200, false},
	{"GET", "/admin/v1/backup", "", 400, true},
	{"POST", "/auth/v1/login", `{"name":"u1-name","password":"correct horse u1"}`, 200, false},
	{"POST", "/auth/v1/login", `{"name":"u1-name","password":"wrong"}`, 401, false},
	{"POST", "/auth/v1/login", `{"name":""}`, 400, true},
	{"POST", "/auth/v1/refresh", `{"refresh_token":"lbr-s1-secret"}`, 200, false},
	{"POST", "/auth/v1/refresh", `{"refresh_token":"x"}`, 401, false},
	{"POST", "/auth/v1/exchange", `{"code":"once","verifier":"v"}`, 200, false},
	{"POST", "/auth/v1/logout", `{}`, 400, false},
	{"GET", "/auth/v1/oidc/login?loopback=http://127.0.0.1:5000/x&challenge=c", "", 302, false},
	{"GET", "/auth/v1/oidc/callback?state=s&code=c", "", 401, false},
	{"GET", "/auth/v1/keys.json", "", 200, false}, {"HEAD", "/auth/v1/keys.json", "", 200, false},
	{"GET", "/auth/v1/whoami", "", 200, false}, {"HEAD", "/auth/v1/whoami", "", 200, false},
	{"POST", "/auth/v1/can-i", `{"verb":"keys.write","resource":"key:abc","tenant":"t1"}`, 200, false},
	{"POST", "/auth/v1/can-i", `{"verb":"infer","resource":"model:m","subject":"user:u1"}`, 200, false},
	{"POST", "/auth/v1/can-i", `{"verb":"fly"}`, 400, false},
	{"GET", "/auth/v1/verbs", "", 200, false}, {"HEAD", "/auth/v1/verbs", "", 200, false},
	{"POST", "/admin/v1/users", `{"name":"eve","email":"e@x.example","password":"long enough it is"}`, 201, false},
	{"POST", "/admin/v1/users", `{"name":"no good","service":true,"password":"x"}`, 400, true},
	{"GET", "/admin/v1/users", "", 200, false}, {"HEAD", "/admin/v1/users", "", 200, false},
	{"GET", "/admin/v1/users/u1", "", 200, false}, {"HEAD", "/admin/v1/users/u1", "", 200, false},
	{"PATCH", "/admin/v1/users/u1", `{"display":"U","disabled":true}`, 200, false},
	{"PATCH", "/admin/v1/users/u1", `{"version":99}`, 409, false},
	{"PUT", "/admin/v1/users/u1/password", `{"password":"another long one"}`, 200, false},
	{"PUT", "/admin/v1/users/u1/password", `{"password":"short"}`, 400, false},
	{"GET", "/admin/v1/sessions?tenant=t1", "", 200, false}, {"GET", "/admin/v1/sessions", "", 200, false}, {"HEAD", "/admin/v1/sessions", "", 200, false},
	{"DELETE", "/admin/v1/sessions/s1", "", 200, false},
	{"DELETE", "/admin/v1/sessions/none", "", 404, false},
	{"DELETE", "/admin/v1/users/u1/sessions", "", 200, false},
	{"GET", "/admin/v1/roles", "", 200, false}, {"HEAD", "/admin/v1/roles", "", 200, false},
	{"PUT", "/admin/v1/roles/ops", `{"description":"d","permissions":["keys.read on key:ci-*","infer"]}`, 200, false},
	{"PUT", "/admin/v1/roles/owner", `{"permissions":["fly"]}`, 400, false},
	{"POST", "/admin/v1/bindings", `{"subject":"user:u1","role":"ops"}`, 201, false},
	{"POST", "/admin/v1/bindings", `{"subject":"x","role":"none"}`, 400, false},
	{"GET", "/admin/v1/bindings?subject=user:u1", "", 200, false}, {"GET", "/admin/v1/bindings", "", 200, false}, {"HEAD", "/admin/v1/bindings", "", 200, false},
	{"DELETE", "/admin/v1/bindings/b-u1-developer", "", 200, false},
	{"DELETE", "/admin/v1/bindings/none", "", 404, false},
	{"DELETE", "/admin/v1/roles/ops", "", 200, false},
	{"DELETE", "/admin/v1/users/u1", "", 200, false},
	{"GET", "/admin/v1/audit?actor=key/x&from=2026-01-01T00:00:00Z", "", 200, false}, {"HEAD", "/admin/v1/audit", "", 200, false},
	{"GET", "/admin/v1/audit?order=wild", "", 400, true},
	{"GET", "/v1/limits", "", 200, false}, {"HEAD", "/v1/limits", "", 200, false},
	{"GET", "/admin/v1/limits", "", 200, false}, {"HEAD", "/admin/v1/limits", "", 200, false},
	{"GET", "/admin/v1/limits?key=none", "", 404, false}, {"GET", "/admin/v1/limits?deployment=m&endpoint=/v1/embeddings", "", 200, false},
	{"GET", "/admin/v1/usage?from=0&step=hour&group_by=key,outcome", "", 200, false}, {"HEAD", "/admin/v1/usage", "", 200, false},
	{"GET", "/admin/v1/usage?step=week", "", 400, true},
	{"GET", "/admin/v1/usage/records?key=a&limit=2", "", 200, false}, {"HEAD", "/admin/v1/usage/records", "", 200, false},
	{"GET", "/admin/v1/usage/records?cursor=x", "", 400, false},
	{"GET", "/admin/v1/audit/verify", "", 200, false}, {"HEAD", "/admin/v1/audit/verify", "", 200, false},
}

// kindOf is the content type of the bodies that a path takes.
func kindOf(path string) string {
	switch {
	case strings.HasPrefix(path, "/admin/v1/models/") && !strings.HasSuffix(path, "/pull"):
		return "application/octet-stream"
	case strings.HasPrefix(path, "/v1/audio/trans"):
		return soundType
	}
	return "application/json"
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
		case req.URL.Path == "/v1/audio/speech":
			w.Header().Set("Content-Type", "audio/mpeg")
			_, _ = io.WriteString(w, "ID3")
		case req.URL.Path == "/v1/rerank":
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"object":"list","results":[{"index":1,"relevance_score":0.5}],"usage":{"prompt_tokens":3,"total_tokens":3}}`)
		default:
			whole(w, req)
		}
	})
	c := newContract(t)
	for _, s := range samples {
		r.tell("n1", 4, 0) // loading the description may take longer than a digest is worth
		kind := kindOf(s.path)
		res, body := r.do(r.admin, s.method, s.path, s.body, "Content-Type", kind)
		if res.StatusCode != s.status {
			t.Errorf("%s %s %s: %d %s, want %d", s.method, s.path, s.body, res.StatusCode, body, s.status)
		}
		c.hold(s, kind, res, body)
	}
	c.complete()
}

// TestEveryRouteIsDocumented compares the router with the description, and the
// table of operations with what the description says of them.
func TestEveryRouteIsDocumented(t *testing.T) {
	doc, r := document(t), newRig(t)
	for _, op := range r.g.Operations() {
		told := doc.Paths.Value(strings.ReplaceAll(op.Path, ":*}", "}")).GetOperation(op.Method)
		verb, _ := told.Extensions["x-verb"].(string)
		own, _ := told.Extensions["x-verb-own"].(string)
		open := told.Security != nil && len(*told.Security) == 0
		if told.OperationID != op.ID || verb != string(op.Verb) || own != string(op.Own) || open != (op.Open && op.Verb == "") {
			t.Errorf("%s: the description has %s, verb %q, own %q, open %v", op.ID, told.OperationID, verb, own, open)
		}
	}
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
