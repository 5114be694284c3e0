package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
)

// canaried is a rig of a deployment m of which n1 has version 1 and n2 version 2, its canary.
type canaried struct {
	*rig
	served map[string]int // requests, by node
	fails  map[string]int // the status that a node's engine fails by
}

func newCanaried(t *testing.T, percent uint32) *canaried {
	c := &canaried{served: map[string]int{}, fails: map[string]int{}}
	c.rig = newRig(t)
	for i, node := range []string{"n1", "n2"} {
		c.node(node, "north", 16, func(w http.ResponseWriter, req *http.Request) {
			_, _ = io.Copy(io.Discard, req.Body)
			c.state.mu.Lock()
			c.served[node]++
			fails := c.fails[node]
			c.state.mu.Unlock()
			if fails > 0 {
				w.WriteHeader(fails)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, answer)
		})
		c.has(node, uint64(i+1), 0)
	}
	c.tries(percent)
	return c
}

// has tells that the node has a ready instance of that version.
func (c *canaried) has(node string, version uint64, cannot spec.Ability) {
	c.g.Table().Observe(&wire.LoadDigest{Node: node, Boot: c.boot, Devices: []*wire.DeviceLoad{{Device: "cpu/" + node, Seq: digests.Add(1), Instances: []*wire.InstanceLoad{
		{Instance: "i-" + node, Deployment: "m", Version: version, State: wire.InstanceState_INSTANCE_STATE_READY, Slots: 16, Cannot: uint32(cannot)}}}}}, time.Now())
}

func (c *canaried) tries(percent uint32) {
	c.state.mu.Lock()
	c.state.deployments["m"].Canary = &wire.Canary{Percent: percent, Replicas: 1, Runs: &wire.Deployment{Version: 2, Engine: "embedded", Model: "next"}}
	c.state.mu.Unlock()
	c.state.fn(gateway.Change{Index: c.state.Index(), Records: ref(gateway.KindDeployment, "m")})
}

// ask sends so many requests, and tells who served.
func (c *canaried) ask(n int, body string, headers ...string) map[string]int {
	c.t.Helper()
	clear(c.served)
	for range n {
		if res, got := c.do(c.infer, "POST", "/v1/chat/completions", body, headers...); res.StatusCode != http.StatusOK || res.Header.Get("X-LotaBots-Deployment") != "" {
			c.t.Fatalf("%d %s", res.StatusCode, got)
		}
	}
	return c.served
}

// TestCanaryServesItsPart of the requests, a session's all by one version; what it cannot do, the other does.
func TestCanaryServesItsPart(t *testing.T) {
	c := newCanaried(t, 30)
	if by := c.ask(400, chatBody); by["n2"] < 80 || by["n2"] > 160 || by["n1"]+by["n2"] != 400 {
		t.Errorf("30 of 100: %v", by)
	}
	tried := 0
	for i := range 60 {
		by := c.ask(4, chatBody, "X-LotaBots-Session", fmt.Sprint(i))
		if len(by) != 1 {
			t.Errorf("session %d is served by %v", i, by)
		}
		tried += min(by["n2"], 1)
	}
	if tried < 6 || tried > 32 {
		t.Errorf("of 60 sessions %d are the canary's", tried)
	}
	c.tries(0)
	if by := c.ask(50, chatBody); by["n2"] != 0 {
		t.Errorf("none of 100: %v", by)
	}
	c.tries(100)
	if by := c.ask(50, chatBody); by["n1"] != 0 {
		t.Errorf("all of 100: %v", by)
	}
	c.has("n2", 2, spec.AbleTools)
	tools := strings.Replace(chatBody, "{", `{"tools":[{"type":"function","function":{"name":"f"}}],`, 1)
	if by := c.ask(20, tools); by["n2"] != 0 {
		t.Errorf("what the canary cannot: %v", by)
	}
	c.has("n2", 2, 0)
	c.has("n1", 1, spec.AbleTools)
	if res, body := c.do(c.infer, "POST", "/v1/chat/completions", tools); res.StatusCode != http.StatusBadRequest {
		t.Errorf("what the deployment cannot: %d %s", res.StatusCode, body)
	}
}

// TestNobodyNoticesABadCanary: what it fails is answered by the other version; and without an
// instance of its own, its part is served all the same.
func TestNobodyNoticesABadCanary(t *testing.T) {
	c := newCanaried(t, 50)
	c.fails["n2"] = http.StatusInternalServerError
	if by := c.ask(40, chatBody); by["n1"] != 40 || by["n2"] == 0 {
		t.Errorf("a canary that fails: %v", by)
	}
	c.g.Table().Observe(&wire.LoadDigest{Node: "n2", Boot: c.boot, Devices: []*wire.DeviceLoad{{Device: "cpu/n2", Seq: digests.Add(1)}}}, time.Now())
	if by := c.ask(40, chatBody); by["n1"] != 40 || by["n2"] != 0 {
		t.Errorf("no canary: %v", by)
	}
}

// TestCanaryIsTold of as it fares: what it failed counts against it, though the other version answered, which is not counted for that;
// and what the other failed, and the canary answered or failed too, does not count for it.
func TestCanaryIsTold(t *testing.T) {
	c := newCanaried(t, 50)
	fares := func() (own, tried *wire.Fare) {
		t.Helper()
		all := c.g.Trials(func(deployment string, canary uint64) bool { return deployment == "m" && canary == 2 })
		if len(all) != 1 || all[0].GetDeployment() != "m" || all[0].GetCanary() != 2 {
			t.Fatalf("told is %v", all)
		}
		return all[0].GetOwn(), all[0].GetTried()
	}
	by := c.ask(40, chatBody)
	if own, tried := fares(); int(own.GetAttempts()) != by["n1"] || int(tried.GetAttempts()) != by["n2"] || own.GetFailed()+tried.GetFailed() != 0 ||
		tried.GetFirsts() != tried.GetAttempts() || tried.GetFirstSeconds() <= 0 || tried.GetFirstSeconds() > 20 {
		t.Errorf("of %v told is %v and %v", by, own, tried)
	}
	before, triedBefore := fares()
	c.fails["n2"] = http.StatusInternalServerError
	by = c.ask(20, chatBody)
	if own, tried := fares(); int(own.GetAttempts()-before.GetAttempts()) != 20-by["n2"] || own.GetFailed() != 0 || int(tried.GetFailed()) != by["n2"] || tried.GetAttempts()-triedBefore.GetAttempts() != tried.GetFailed() || by["n2"] == 0 {
		t.Errorf("of %v told is %v and %v", by, own, tried)
	}
	before, triedBefore = fares()
	c.tries(0)
	c.fails["n1"], c.fails["n2"] = http.StatusInternalServerError, 0
	clear(c.served)
	for range 10 {
		c.do(c.infer, "POST", "/v1/chat/completions", chatBody)
	}
	if own, tried := fares(); int(own.GetFailed()-before.GetFailed()) != 10 || tried.String() != triedBefore.String() || c.served["n2"] == 0 {
		t.Errorf("of %v told is %v and %v", c.served, own, tried)
	}
	c.tries(50)
	c.fails["n1"] = 0
	c.has("n1", 1, 0)
	for _, status := range []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusNotFound} { // of which no other is asked
		_, triedBefore = fares()
		c.fails["n2"] = status
		clear(c.served)
		for range 20 {
			c.do(c.infer, "POST", "/v1/chat/completions", chatBody)
		}
		if _, tried := fares(); int(tried.GetFailed()-triedBefore.GetFailed()) != c.served["n2"] || c.served["n2"] == 0 {
			t.Errorf("of %v by %d told is %v", c.served, status, tried)
		}
	}
	_, triedBefore = fares()
	c.fails["n2"] = http.StatusTooManyRequests
	c.ask(10, chatBody)
	if _, tried := fares(); tried.String() != triedBefore.String() {
		t.Errorf("want of room is told: %v", tried)
	}
	before, triedBefore = fares()
	for range 10 {
		c.do(c.infer, "POST", "/v1/chat/completions", strings.Replace(chatBody, "hi", "hi\",\"x\":{", 1))
	}
	if own, tried := fares(); own.String() != before.String() || tried.String() != triedBefore.String() {
		t.Errorf("requests that were refused are told: %v and %v", own, tried)
	}
	if gone := c.g.Trials(func(string, uint64) bool { return false }); len(gone) != 0 || len(c.g.Trials(func(string, uint64) bool { return true })) != 0 {
		t.Errorf("a canary that has ended is told of: %v", gone)
	}
}

// TestCanaryOfTheAPI begins as the deployment is, is changed field by field, and ends.
func TestCanaryOfTheAPI(t *testing.T) {
	r := newRig(t)
	r.state.models["g"], r.state.models["h"] = &wire.Model{Name: "g"}, &wire.Model{Name: "h"}
	r.state.deployments["d"] = &wire.Deployment{Name: "d", Version: 4, Engine: "embedded", Model: "g", Options: map[string]string{"a": "b"}, Slots: 3, Replicas: 2,
		Residency: &wire.Residency{OnDemand: true, KeepAliveMs: 60_000}}
	r.tellState()
	change := func(body string) (*wire.PutCanary, string) {
		t.Helper()
		res, got := r.do(r.admin, "PATCH", "/admin/v1/deployments/d/canary", body)
		if res.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", res.StatusCode, got)
		}
		return r.state.last.GetPutCanary(), got
	}
	p, got := change(`{"context":512}`)
	if runs := p.GetCanary().GetRuns(); p.GetExpectRevision() != 0 || p.GetCanary().GetPercent() != 10 || p.GetCanary().GetReplicas() != 1 || p.GetCanary().GetVerdict() != nil ||
		runs.GetContext() != 512 || runs.GetModel() != "g" || runs.GetSlots() != 3 || runs.GetOptions()["a"] != "b" || runs.GetResidency().GetKeepAliveMs() != 60_000 || runs.GetName() != "" {
		t.Errorf("it begins as %v", p)
	}
	if !strings.Contains(got, `"canary":{"version":5,"percent":10,"replicas":1,"model":"g"`) || !strings.Contains(got, `"version":4`) {
		t.Errorf("told is %s", got)
	}
	p, _ = change(`{"percent":50,"options":{},"model":"h","judge_after_seconds":60}`)
	if runs := p.GetCanary().GetRuns(); p.GetExpectRevision() != 77 || p.GetCanary().GetPercent() != 50 || runs.GetContext() != 512 || runs.GetModel() != "h" || len(runs.GetOptions()) != 0 {
		t.Errorf("it becomes %v", p)
	}
	if v := p.GetCanary().GetVerdict(); v.GetAfterMs() != 60_000 || v.GetRequests() != 50 || v.GetFailures() != 0.02 || v.GetSlower() != 1.5 {
		t.Errorf("it is judged by %v", v)
	}
	if p, _ = change(`{"judge_after_seconds":0}`); p.GetCanary().GetVerdict() != nil || p.GetCanary().GetPercent() != 50 {
		t.Errorf("it is judged still: %v", p)
	}
	if res, body := r.do(r.admin, "POST", "/admin/v1/deployments/d/canary/promote", ""); res.StatusCode != http.StatusOK || !strings.Contains(body, `"model":"h"`) || !strings.Contains(body, `"canary":null`) {
		t.Errorf("promoted: %d %s", res.StatusCode, body)
	}
	if e := r.state.last.GetEndCanary(); !e.GetPromote() || e.GetVersion() == 0 {
		t.Errorf("%v", e)
	}
}
