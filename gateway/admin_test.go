package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
)

const indexHeader = "X-LotaBots-State-Index"

// TestReadsAreNoOlderThanAsked: a read that names an index waits for it, and is
// refused where it does not come. An index without a change, as of a leader's
// own entry, is waited for no longer than others.
func TestReadsAreNoOlderThanAsked(t *testing.T) {
	r := newRig(t)
	began := time.Now()
	r.state.mu.Lock()
	r.state.index = 12 // and nobody is told
	r.state.mu.Unlock()
	if res, body := r.do(r.admin, "GET", "/admin/v1/keys", "", indexHeader, "12"); res.StatusCode != 200 || res.Header.Get(indexHeader) != "12" {
		t.Errorf("%d %s, %v", res.StatusCode, body, res.Header)
	}
	if took := time.Since(began); took > 1900*time.Millisecond { // of catchUp, two seconds
		t.Errorf("took %v", took)
	}
	time.AfterFunc(100*time.Millisecond, func() {
		_, _ = r.state.Propose(context.Background(), &wire.Command{RequestId: "x", Body: &wire.Command_PutKey{PutKey: &wire.PutKey{Key: &wire.APIKey{Id: "late"}}}})
	})
	if res, body := r.do(r.admin, "GET", "/admin/v1/keys", "", indexHeader, "13"); res.StatusCode != 200 || !strings.Contains(body, "late") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if res, body := r.do(r.admin, "GET", "/admin/v1/keys", "", indexHeader, "14"); res.StatusCode != 503 || codeOf(t, body) != "state_too_old" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	for _, bad := range []string{"x", "-1", "1.5", strings.Repeat("9", 30)} {
		if res, _ := r.do(r.admin, "GET", "/admin/v1/keys", "", indexHeader, bad); res.StatusCode != 400 {
			t.Errorf("index %q: %d", bad, res.StatusCode)
		}
	}
}

func TestWritesAreIdempotent(t *testing.T) {
	r := newRig(t)
	body := `{"name":"k"}`
	res, one := r.do(r.admin, "POST", "/admin/v1/keys", body, "Idempotency-Key", "a.b:1")
	index, _ := strconv.Atoi(res.Header.Get(indexHeader))
	if res.StatusCode != 201 || index != 11 || !strings.HasPrefix(r.state.last.RequestId, "key/admxxxx/a.b:1/") || r.state.last.Principal != "key/admxxxx" {
		t.Errorf("%d %s, %v, %v", res.StatusCode, one, res.Header, r.state.last)
	}
	if res, two := r.do(r.admin, "POST", "/admin/v1/keys", body, "Idempotency-Key", "a.b:1"); res.StatusCode != 409 || strings.Contains(two, `"key"`) {
		t.Errorf("a second time: %d %s", res.StatusCode, two)
	}
	if res, _ := r.do(r.admin, "POST", "/admin/v1/keys", body, "Idempotency-Key", "has space"); res.StatusCode != 400 {
		t.Errorf("a bad one: %d", res.StatusCode)
	}
	for range 2 { // sending a revocation twice is a success twice
		if res, b := r.do(r.admin, "DELETE", "/admin/v1/keys/"+fieldOf(t, one, "id"), "", "Idempotency-Key", "z"); res.StatusCode != 200 {
			t.Errorf("%d %s", res.StatusCode, b)
		}
	}
}

// TestIdempotencyKeyIsOfOneWrite: a write that was not made is not answered as
// if it had been, because another one was sent under the same header.
func TestIdempotencyKeyIsOfOneWrite(t *testing.T) {
	r := newRig(t)
	_, one := r.do(r.admin, "POST", "/admin/v1/keys", `{"name":"one"}`, "Idempotency-Key", "x")
	res, two := r.do(r.admin, "POST", "/admin/v1/keys", `{"name":"two"}`, "Idempotency-Key", "x")
	if res.StatusCode != 201 {
		t.Fatalf("another body: %d %s", res.StatusCode, two)
	}
	for _, made := range []string{one, two} {
		if res, body := r.do(r.admin, "DELETE", "/admin/v1/keys/"+fieldOf(t, made, "id"), "", "Idempotency-Key", "x"); res.StatusCode != 200 {
			t.Errorf("%d %s", res.StatusCode, body)
		}
		if res, _ := r.do(fieldOf(t, made, "key"), "GET", "/v1/models", ""); res.StatusCode != 401 {
			t.Errorf("a revoked key is served: %d", res.StatusCode)
		}
	}
}

// failing proposes in vain.
type failing struct {
	err error
	res *wire.Result
}

func (f failing) Propose(ctx context.Context, _ *wire.Command) (*wire.Result, error) {
	return f.res, f.err
}

func TestWritesThatFail(t *testing.T) {
	for _, c := range []struct {
		f      failing
		status int
		code   spec.Code
		retry  bool
	}{
		{failing{err: spec.Errorf(spec.CodeNoLeader, "None.")}, 503, spec.CodeNoLeader, true},
		{failing{err: spec.Errorf(spec.CodeOutcomeUnknown, "Who knows.")}, 503, spec.CodeOutcomeUnknown, true},
		{failing{err: errors.New("secret")}, 500, spec.CodeInternal, false},
		{failing{err: context.DeadlineExceeded}, 503, spec.CodeOutcomeUnknown, true},
		{failing{res: &wire.Result{Code: "already_exists", Message: "a key named k exists"}}, 409, spec.CodeAlreadyExists, false},
		{failing{res: &wire.Result{Code: "conflict"}}, 409, spec.CodeConflict, false},
	} {
		r := newRig(t, func(g *gateway.Config) { g.Proposer = c.f })
		res, body := r.do(r.admin, "POST", "/admin/v1/keys", `{"name":"k"}`)
		if res.StatusCode != c.status || codeOf(t, body) != string(c.code) || (res.Header.Get("Retry-After") != "") != c.retry || strings.Contains(body, "secret") {
			t.Errorf("%+v: %d %s, %v", c.f, res.StatusCode, body, res.Header)
		}
		if c.code == spec.CodeAlreadyExists && !strings.Contains(body, "A key named k exists.") {
			t.Errorf("no sentence: %s", body)
		}
	}
}

// TestLaggingNodesAreNamed in the answer to a revocation.
func TestLaggingNodesAreNamed(t *testing.T) {
	r := newRig(t, func(c *gateway.Config) {
		c.Applied = func(_ context.Context, index uint64) []spec.NodeID {
			if index != 11 {
				t.Errorf("asked about %d", index)
			}
			return []spec.NodeID{"n3"}
		}
	})
	if _, body := r.do(r.admin, "DELETE", "/admin/v1/keys/infxxxx", ""); !strings.Contains(body, `"lagging":["n3"]`) || !strings.Contains(body, `"state_index":11`) {
		t.Errorf("%s", body)
	}
}

// TestPages walks through a list, and sees each thing once.
func TestPages(t *testing.T) {
	r := newRig(t)
	for i := range 25 {
		r.state.addDeployment("d"+strconv.Itoa(i), "")
	}
	seen := map[string]bool{}
	pages := 0
	for cursor := ""; ; pages++ {
		_, body := r.do(r.admin, "GET", "/admin/v1/deployments?limit=10&cursor="+cursor, "")
		var p struct {
			Data []struct{ Name string }
			Next string `json:"next_cursor"`
		}
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			t.Fatal(err)
		}
		for _, d := range p.Data {
			if seen[d.Name] {
				t.Errorf("%s came twice", d.Name)
			}
			seen[d.Name] = true
		}
		if cursor = p.Next; cursor == "" {
			break
		}
	}
	if len(seen) != 26 || pages != 2 {
		t.Errorf("%d on %d further pages", len(seen), pages)
	}
	for _, bad := range []string{"0", "-1", "x", "1001"} {
		if res, _ := r.do(r.admin, "GET", "/admin/v1/deployments?limit="+bad, ""); res.StatusCode != 400 {
			t.Errorf("limit %s: %d", bad, res.StatusCode)
		}
	}
}

// TestForms list everything that is wrong, and touch nothing.
func TestForms(t *testing.T) {
	r := newRig(t, func(c *gateway.Config) {
		c.Engines = []string{"embedded", "external"}
		c.CheckEngine = func(d *wire.Deployment) error {
			if d.GetEngine() == "other" {
				return &spec.Error{Code: spec.CodeEngineUnknown, Param: "engine", Message: "there is none of that name"}
			}
			if d.GetOptions()["threads"] != "" {
				return &spec.Error{Code: spec.CodeInvalidRequest, Param: "options.threads", Message: "it is not a number"}
			}
			return nil
		}
	})
	for _, c := range []struct {
		method, path, body string
		params             []string
	}{
		{"POST", "/admin/v1/keys", `{"name":5,"scopes":["root"],"models":[""],"ttl_seconds":-1,"x":1,"requests_per_minute":-1}`,
			[]string{"name", "scopes[0]", "models[0]", "ttl_seconds", "x", "requests_per_minute"}},
		{"PUT", "/admin/v1/deployments/-bad", `{"engine":"other","replicas":100000,"regions":["a","a",""]}`,
			[]string{"name", "engine", "replicas", "regions[1]", "regions[2]"}},
		{"PUT", "/admin/v1/deployments/d", `{"engine":"external","model":"m"}`, []string{"model"}},
		{"PUT", "/admin/v1/deployments/d", `{"engine":"embedded"}`, []string{"model"}},
		{"PUT", "/admin/v1/deployments/d", `{"engine":"external","memory_bytes":18446744073709551615}`, []string{"memory_bytes"}},
		{"PUT", "/admin/v1/deployments/d", `{"engine":"external","memory_bytes":1125899906842625,"keep_alive_seconds":31536001,"min_resident_seconds":-1}`,
			[]string{"memory_bytes", "keep_alive_seconds", "min_resident_seconds"}},
		{"PUT", "/admin/v1/deployments/d", `{"engine":"embedded","options":{"threads":"1;id"}}`, []string{"model", "options.threads"}},
		{"PUT", "/admin/v1/deployments/d", `{"engine":"embedded","model":"nowhere"}`, []string{"model"}},
		{"PUT", "/admin/v1/deployments/d", `{"engine":"embedded","model":"nowhere","scale":{"min":0,"maximum":4,"slot_use":"x","schedules":[{"from":"8","to":"09:00","min":-1,"day":1},5]}}`,
			[]string{"model", "scale.min", "scale.max", "scale.maximum", "scale.slot_use", "scale.schedules[0].from", "scale.schedules[0].min", "scale.schedules[0].day",
				"scale.schedules[1]", "scale.schedules[1].from", "scale.schedules[1].to", "scale.schedules[1].min"}},
		{"PUT", "/admin/v1/deployments/d", `{"engine":"external","scale":{"min":1,"max":4}}`, []string{"scale"}},
		{"PUT", "/admin/v1/deployments/d", `{"engine":"embedded","model":"nowhere","scale":5}`, []string{"model", "scale"}},
		{"PUT", "/admin/v1/models/.bad", `GGUF`, []string{"name"}},
		{"POST", "/admin/v1/tokens", `{"role":"king","uses":0,"ttl_seconds":0}`, []string{"role", "uses", "ttl_seconds"}},
	} {
		res, body := r.do(r.admin, c.method, c.path, c.body)
		var doc struct {
			Error struct {
				Code   string
				Errors []struct{ Param string }
			}
		}
		if err := json.Unmarshal([]byte(body), &doc); err != nil || res.StatusCode != 400 || doc.Error.Code != "invalid_request" {
			t.Errorf("%s: %d %s", c.path, res.StatusCode, body)
			continue
		}
		got := map[string]bool{}
		for _, p := range doc.Error.Errors {
			got[p.Param] = true
		}
		for _, want := range c.params {
			if !got[want] {
				t.Errorf("%s %s: nothing is said of %s in %s", c.path, c.body, want, body)
			}
		}
		if len(got) != len(c.params) {
			t.Errorf("%s: %d problems, want %d: %s", c.path, len(got), len(c.params), body)
		}
	}
	for _, bad := range []string{"", "[]", "null", "{", `{"name":"a"} {}`, "7"} {
		if res, body := r.do(r.admin, "POST", "/admin/v1/keys", bad); res.StatusCode != 400 || codeOf(t, body) != "invalid_json" {
			t.Errorf("%q: %d %s", bad, res.StatusCode, body)
		}
	}
	if r.state.Index() != 10 {
		t.Error("something was written")
	}
}

// TestProblemsReadOnce: what the engines say of a deployment names its subject once, and an engine that is missing is named.
func TestProblemsReadOnce(t *testing.T) {
	said := &spec.Error{Code: spec.CodeInvalidRequest}
	r := newRig(t, func(c *gateway.Config) {
		c.Engines = []string{"embedded"}
		c.CheckEngine = func(d *wire.Deployment) error {
			if d.GetEngine() == "embedded" {
				return said
			}
			return nil
		}
		c.HasEngine = func(string) (some, told bool) { return false, true }
	})
	for _, c := range []struct{ engine, param, sentence, want string }{
		{"embedded", "context", "context is 9; it must be at most 8", "context is 9; it must be at most 8"},
		{"embedded", "slots", "slots is 9; it must be at most 8", "slots is 9; it must be at most 8"},
		{"embedded", "options.threads", `the option threads is "x"; it must be a whole number`, `options.threads is "x"; it must be a whole number`},
		{"embedded", "options.x", "the preset embedded has no option x", "options.x cannot be taken: the preset embedded has no option x"},
		{"abacus", "", "", `engine "abacus" is on no living node: `},
	} {
		said.Param, said.Message = c.param, c.sentence
		res, body := r.do(r.admin, "PUT", "/admin/v1/deployments/d", `{"engine":"`+c.engine+`","model":"fr"}`)
		var doc struct {
			Error struct {
				Errors []struct{ Param, Message string }
			}
		}
		err, found := json.Unmarshal([]byte(body), &doc), false
		for _, p := range doc.Error.Errors {
			found = found || strings.HasPrefix(p.Param+" "+p.Message, c.want)
		}
		if err != nil || res.StatusCode != 400 || !found {
			t.Errorf("%s: %d %s", c.want, res.StatusCode, body)
		}
	}
}

// TestSidecar has no operations of its own, and says so.
func TestSidecar(t *testing.T) {
	r := newRig(t, func(c *gateway.Config) { c.Cluster, c.Models, c.Tokens = nil, nil, nil })
	r.partial = true
	for _, c := range [][2]string{{"GET", "/admin/v1/status"}, {"GET", "/admin/v1/nodes"}, {"POST", "/admin/v1/nodes/n1/drain"}, {"POST", "/admin/v1/nodes/n1/resume"},
		{"POST", "/admin/v1/leadership/transfer"}, {"PUT", "/admin/v1/models/x"}} {
		if res, body := r.do(r.admin, c[0], c[1], ""); res.StatusCode != 404 || !strings.Contains(body, "Ask a node of the cluster") {
			t.Errorf("%v: %d %s", c, res.StatusCode, body)
		}
	}
}
