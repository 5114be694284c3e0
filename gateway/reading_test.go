package gateway_test

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
)

const (
	ageHeader         = "X-LotaBots-State-Age"
	consistencyHeader = "X-LotaBots-Consistency"
)

func ageOf(t *testing.T, res *http.Response) int64 {
	t.Helper()
	ms, err := strconv.ParseInt(res.Header.Get(ageHeader), 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", ageHeader, err)
	}
	return ms
}

// TestEveryAdminAnswerTellsItsAge: refusals too.
func TestEveryAdminAnswerTellsItsAge(t *testing.T) {
	r := newRig(t)
	r.state.age = 1500 * time.Millisecond
	for _, s := range samples {
		if len(s.path) < 10 || s.path[:10] != "/admin/v1/" {
			continue
		}
		if s.path == "/admin/v1/status?consistency=linearizable" {
			continue // as new as the barrier makes it
		}
		res, _ := r.do(r.admin, s.method, s.path, s.body)
		if got := ageOf(t, res); got != 1500 || res.Header.Get(indexHeader) == "" {
			t.Errorf("%s %s: %d ms old, index %q", s.method, s.path, got, res.Header.Get(indexHeader))
		}
	}
}

// TestLinearizableReads wait until this node's copy has what the others agreed.
func TestLinearizableReads(t *testing.T) {
	r := newRig(t)
	r.state.age = 20 * time.Second
	r.state.barrier = func(ctx context.Context) error {
		_, err := r.state.Propose(ctx, &wire.Command{RequestId: "late", Body: &wire.Command_PutKey{PutKey: &wire.PutKey{Key: &wire.APIKey{Id: "late"}}}})
		return err
	}
	if res, _ := r.do(r.admin, "GET", "/admin/v1/keys", ""); res.Header.Get(indexHeader) != "10" || r.state.barriers != 0 {
		t.Errorf("a local read waited: %v", res.Header)
	}
	for i, s := range []struct{ path, header string }{{"/admin/v1/keys", "linearizable"}, {"/admin/v1/keys?consistency=linearizable", ""}} {
		res, body := r.do(r.admin, "GET", s.path, "", consistencyHeader, s.header)
		if res.StatusCode != 200 || res.Header.Get(indexHeader) != "11" || r.state.barriers != i+1 {
			t.Errorf("%v: %d %s, %v", s, res.StatusCode, body, res.Header)
		}
		if age := ageOf(t, res); age > 10_000 {
			t.Errorf("it says that it is %d ms old, and was just confirmed", age)
		}
	}
	r.state.barrier = func(context.Context) error { return spec.Errorf(spec.CodeNoLeader, "nobody leads") }
	if res, body := r.do(r.admin, "GET", "/admin/v1/keys", "", consistencyHeader, "linearizable"); res.StatusCode != 503 || codeOf(t, body) != "no_leader" {
		t.Errorf("without a leader: %d %s", res.StatusCode, body)
	}
	if res, body := r.do(r.admin, "GET", "/admin/v1/keys", "", consistencyHeader, "strict"); res.StatusCode != 400 {
		t.Errorf("an unknown word: %d %s", res.StatusCode, body)
	}
}

// TestAWriteIsNotAnsweredFromAnOldCopy: what was made a moment ago elsewhere is
// there, and without a leader nobody says that it is not.
func TestAWriteIsNotAnsweredFromAnOldCopy(t *testing.T) {
	r := newRig(t)
	r.state.barrier = func(ctx context.Context) error {
		_, err := r.state.Propose(ctx, &wire.Command{RequestId: "elsewhere", Body: &wire.Command_PutBinding{PutBinding: &wire.PutBinding{Binding: &wire.Binding{Id: "made", Subject: "group:g", Role: "viewer"}}}})
		return err
	}
	if res, body := r.do(r.admin, "DELETE", "/admin/v1/bindings/made", ""); res.StatusCode != 200 || r.state.barriers != 1 {
		t.Errorf("removing what was made a moment ago: %d %s, %d barriers", res.StatusCode, body, r.state.barriers)
	}
	r.state.barrier = nil
	if res, _ := r.do(r.admin, "DELETE", "/admin/v1/bindings/made", ""); res.StatusCode != 404 || r.state.barriers != 2 {
		t.Errorf("removing it again: %d, %d barriers", res.StatusCode, r.state.barriers)
	}
	r.state.barrier = func(context.Context) error { return spec.Errorf(spec.CodeNoLeader, "nobody leads") }
	if res, body := r.do(r.admin, "DELETE", "/admin/v1/bindings/other", ""); res.StatusCode != 503 || codeOf(t, body) != "no_leader" {
		t.Errorf("without a leader: %d %s", res.StatusCode, body)
	}
}

// TestADeploymentIsNotRefusedFromAnOldCopy: a model that was imported a moment ago elsewhere is there, and so is the role that is
// named; what is nowhere is refused, and without a leader nothing is.
func TestADeploymentIsNotRefusedFromAnOldCopy(t *testing.T) {
	r := newRig(t)
	late := func(what func()) {
		r.state.barrier = func(ctx context.Context) error {
			what()
			apply(t, r.state, &wire.Command{RequestId: strconv.Itoa(r.state.barriers), Body: &wire.Command_PutTenant{PutTenant: &wire.PutTenant{Tenant: &wire.Tenant{Id: "x"}}}})
			return ctx.Err()
		}
	}
	model := func(name string) func() {
		return func() { _, _ = r.state.Import(t.Context(), name, strings.NewReader("GGUF")) }
	}
	role := func() {
		apply(t, r.state, &wire.Command{RequestId: "role", Body: &wire.Command_PutRole{PutRole: &wire.PutRole{Role: &wire.AccessRole{Id: "fresh", Permissions: []*wire.Permission{{Verb: "infer"}}}}}})
	}
	for _, s := range []struct {
		made               func()
		method, path, body string
		status             int
	}{
		{model("late"), "PUT", "/admin/v1/deployments/d", `{"engine":"embedded","model":"late"}`, 200},
		{model("adapter"), "PUT", "/admin/v1/deployments/d", `{"engine":"embedded","model":"late","adapters":{"a":"adapter"}}`, 200},
		{model("later"), "POST", "/admin/v1/plan", `{"name":"d","deployment":{"engine":"embedded","model":"later"}}`, 200},
		{role, "POST", "/admin/v1/bindings", `{"subject":"group:g","role":"fresh"}`, 201},
	} {
		late(s.made)
		if res, body := r.do(r.admin, s.method, s.path, s.body); res.StatusCode != s.status {
			t.Errorf("%s %s %s: %d %s", s.method, s.path, s.body, res.StatusCode, body)
		}
	}
	r.state.barrier = nil
	before := r.state.barriers
	if res, body := r.do(r.admin, "PUT", "/admin/v1/deployments/d", `{"engine":"embedded","model":"nowhere"}`); res.StatusCode != 400 || strings.Count(body, "not imported") != 2 || r.state.barriers != before+1 {
		t.Errorf("a model that is nowhere: %d %s, %d barriers", res.StatusCode, body, r.state.barriers-before)
	}
	r.state.barrier = func(context.Context) error { return spec.Errorf(spec.CodeNoLeader, "nobody leads") }
	for path, body := range map[string]string{"PUT /admin/v1/deployments/d": `{"engine":"embedded","model":"nowhere"}`, "POST /admin/v1/plan": `{"name":"d","deployment":{"engine":"embedded","model":"nowhere"}}`} {
		method, path, _ := strings.Cut(path, " ")
		if res, body := r.do(r.admin, method, path, body); res.StatusCode != 503 || codeOf(t, body) != "no_leader" {
			t.Errorf("without a leader: %d %s", res.StatusCode, body)
		}
	}
}

// TestAWrongCopyIsNotRead, but its status is, and writes go to the leader.
func TestAWrongCopyIsNotRead(t *testing.T) {
	wrong := spec.Errorf(spec.CodeStateDiverged, "It differs.")
	r := newRig(t, func(c *gateway.Config) { c.Sound = func() error { return wrong } })
	for path, code := range map[string]int{"/admin/v1/keys": 503, "/admin/v1/deployments": 503, "/admin/v1/nodes": 503, "/admin/v1/status": 200, "/admin/v1/state": 200} {
		res, body := r.do(r.admin, "GET", path, "")
		if res.StatusCode != code || code == 503 && codeOf(t, body) != "state_diverged" {
			t.Errorf("%s: %d %s", path, res.StatusCode, body)
		}
	}
	if res, body := r.do(r.admin, "POST", "/admin/v1/keys", `{"name":"k"}`); res.StatusCode != 201 {
		t.Errorf("a write: %d %s", res.StatusCode, body)
	}
}
