package gateway_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A contract holds requests and real answers to the description.
type contract struct {
	t     *testing.T
	doc   *openapi3.T
	find  routers.Router
	tried map[string]bool // METHOD and path as described
}

func newContract(t *testing.T) *contract {
	t.Helper()
	doc := document(t)
	find, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	openapi3filter.RegisterBodyDecoder("text/html", openapi3filter.FileBodyDecoder)
	openapi3filter.RegisterBodyDecoder("text/event-stream", openapi3filter.FileBodyDecoder)
	return &contract{t: t, doc: doc, find: find, tried: map[string]bool{}}
}

// hold holds an answer, and the request that it came to, to the description. bad: the request breaks it.
func (c *contract) hold(s sample, kind string, res *http.Response, body string) {
	c.t.Helper()
	req, _ := http.NewRequest(s.method, s.path, strings.NewReader(s.body))
	req.URL, _ = url.Parse(s.path)
	if s.body != "" {
		req.Header.Set("Content-Type", kind)
	}
	at := s.method + " " + s.path + " " + s.body
	route, params, err := c.find.FindRoute(req)
	if err != nil {
		c.t.Errorf("%s is not documented: %v", at, err)
		return
	}
	c.tried[s.method+" "+route.Path] = true
	options := &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}
	in := &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route, Options: options}
	if err := openapi3filter.ValidateRequest(context.Background(), in); (err != nil) != s.bad {
		c.t.Errorf("%s: the description says %v", at, err)
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: res.StatusCode, Header: res.Header,
		Body: io.NopCloser(strings.NewReader(body)), Options: options}
	if err := openapi3filter.ValidateResponse(context.Background(), out); err != nil && s.method != "HEAD" {
		c.t.Errorf("answer to %s: %v", at, err)
	}
	c.headers(at, route.Operation, res)
	if s.method == "HEAD" && body != "" {
		c.t.Errorf("%s has a body: %s", at, body)
	}
	if res.StatusCode >= 400 && s.method != "HEAD" {
		c.catalogued(at, res, body)
	}
}

// everywhere are the headers that any answer may have; the others are described where they are sent.
var everywhere = []string{"Allow", "Cache-Control", "Connection", "Content-Length", "Content-Type", "Date", "Referrer-Policy", "Retry-After", "Server",
	"Set-Cookie", "Vary", "Www-Authenticate", "X-Accel-Buffering", "X-Request-Id", "X-Lotabots-Gateway"}

func (c *contract) headers(at string, op *openapi3.Operation, res *http.Response) {
	c.t.Helper()
	told := op.Responses.Status(res.StatusCode)
	if told == nil {
		c.t.Errorf("%s: status %d is not described", at, res.StatusCode)
		return
	}
	for name := range res.Header {
		described := slices.Contains(everywhere, name)
		for h := range told.Value.Headers {
			described = described || http.CanonicalHeaderKey(h) == name
		}
		if !described {
			c.t.Errorf("%s: status %d has the header %s, which is not described", at, res.StatusCode, name)
		}
	}
	if res.Header.Get("X-Request-Id") == "" {
		c.t.Errorf("%s: no request id", at)
	}
}

// catalogued holds an error to the catalogue of codes.
func (c *contract) catalogued(at string, res *http.Response, body string) {
	c.t.Helper()
	told := toldOf(c.t, body)
	class, known := spec.Catalogue[spec.Code(told.Code)]
	if !known || class.Status != res.StatusCode || told.Hint == "" || told.Message == "" || told.RequestID != res.Header.Get("X-Request-Id") {
		c.t.Errorf("%s: status %s with %s", at, strconv.Itoa(res.StatusCode), body)
	}
}

// A tellingError is an error in any of the forms.
type tellingError struct {
	Code, Hint, Message string
	RequestID           string `json:"request_id"`
}

func toldOf(t testing.TB, body string) (told tellingError) {
	t.Helper()
	var whole struct {
		Error     json.RawMessage
		RequestID string `json:"request_id"`
	}
	err := json.Unmarshal([]byte(body), &whole)
	if err == nil && strings.HasPrefix(string(whole.Error), "{") {
		err = json.Unmarshal(whole.Error, &told)
	} else if err == nil { // KServe's
		err = errors.Join(json.Unmarshal([]byte(body), &told), json.Unmarshal(whole.Error, &told.Message))
	}
	if err != nil {
		t.Fatalf("error answer %q: %v", body, err)
	}
	told.RequestID = cmp.Or(told.RequestID, whole.RequestID)
	return told
}

// complete tells which operations were not tried.
func (c *contract) complete() {
	c.t.Helper()
	for path, item := range c.doc.Paths.Map() {
		for method := range item.Operations() {
			if !c.tried[method+" "+path] {
				c.t.Errorf("no sample of %s %s", method, path)
			}
		}
	}
}

// TestContractOfRefusals tries every operation without a key, with one that may do nothing, by a method that it
// does not take and, where it takes JSON, with a body that is none.
func TestContractOfRefusals(t *testing.T) {
	r, c := newRig(t), newContract(t)
	nothing := r.state.addKey("nil", "t1", 0, "topology")
	r.tellState()
	for path, item := range c.doc.Paths.Map() {
		for method, op := range item.Operations() {
			at := concrete(path)
			s := sample{method: method, path: at + required(op), body: bodyOf(op)}
			s.bad = s.body != ""
			kind := "application/json"
			if op.RequestBody != nil && op.RequestBody.Value.Content[kind] == nil {
				continue // forms and files: their refusals are in samples
			}
			ask := func(key string, want ...int) {
				t.Helper()
				res, body := r.do(key, s.method, s.path, s.body, "Content-Type", kind)
				if !slices.Contains(want, res.StatusCode) {
					t.Errorf("%s %s: %d %s, want %v", s.method, s.path, res.StatusCode, body, want)
				}
				c.hold(s, kind, res, body)
			}
			if open := op.Security != nil && len(*op.Security) == 0; !open && path != "/metrics" {
				ask("", 401)
				if verb, _ := op.Extensions["x-verb"].(string); verb != "" {
					ask(nothing, 403, 404) // 404: of what is, the caller may not know
				}
			}
			if s.body != "" {
				ask(r.admin, 400, 404, 503) // 503: KServe's tensors are the engine's to read, and there is none
			}
		}
		res, body := r.do(r.admin, "TRACE", concrete(path), "")
		if res.StatusCode != 405 || res.Header.Get("Allow") == "" || toldOf(t, body).Code != "method_not_allowed" {
			t.Errorf("TRACE %s: %d %v %s", path, res.StatusCode, res.Header, body)
		}
	}
}

// concrete is a path that the description's stands for.
func concrete(path string) string {
	return strings.NewReplacer("{id}", "infxxxx", "{name}", "m", "{model}", "m", "{version}", "1").Replace(path)
}

// required are the query parameters that an operation must be given.
func required(op *openapi3.Operation) string {
	out := "?"
	for _, p := range op.Parameters {
		if p.Value.In == "query" && p.Value.Required {
			out += p.Value.Name + "=x&"
		}
	}
	return out[:len(out)-1]
}

// bodyOf is no JSON, for an operation that takes a body.
func bodyOf(op *openapi3.Operation) string {
	if op.RequestBody == nil {
		return ""
	}
	return `{"model":`
}
