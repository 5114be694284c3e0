package gateway_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/balance"
	"github.com/lotabots/lotabots/gateway/relay"
)

// serves puts a node with an instance of the deployment.
func (r *rig) serves(node, region, deployment string, h http.HandlerFunc) {
	r.g.Table().PutMember(balance.Member{Node: spec.NodeID(node), Region: region})
	r.engines.add(node, h)
	r.g.Table().Observe(&wire.LoadDigest{Node: node, Boot: r.boot, Devices: []*wire.DeviceLoad{{
		Device: "cpu/" + node, Seq: digests.Add(1), Instances: []*wire.InstanceLoad{{
			Instance: "i-" + node, Deployment: deployment, Version: 1, State: wire.InstanceState_INSTANCE_STATE_READY, Slots: 4}}}}}, time.Now())
}

// TestFallbacks: who serves is what the deployment lists, the caller may use, and both
// deployments' regions allow; the engine is asked by its own deployment's name.
func TestFallbacks(t *testing.T) {
	var asked string
	says := func(by string) http.HandlerFunc {
		return func(w http.ResponseWriter, req *http.Request) {
			b, _ := io.ReadAll(req.Body)
			asked = string(b)
			_, _ = io.WriteString(w, `{"by":"`+by+`","choices":[]}`)
		}
	}
	for name, c := range map[string]struct {
		first  []string // its regions
		of     []string // the fallback's
		tenant string   // of the fallback
		models []string // of the key
		list   []string
		want   bool
	}{
		"served":                    {list: []string{"gone", "other"}, want: true},
		"both allow the region":     {first: []string{"north", "east"}, of: []string{"south", "north"}, list: []string{"other"}, want: true},
		"none is listed":            {},
		"another tenant's":          {tenant: "t2", list: []string{"other"}},
		"the key may not":           {models: []string{"m"}, list: []string{"other"}},
		"the first's region":        {first: []string{"south"}, list: []string{"other"}},
		"the fallback's region":     {of: []string{"south"}, list: []string{"other"}},
		"no region that both allow": {first: []string{"north"}, of: []string{"south"}, list: []string{"other"}},
	} {
		r := newRig(t)
		r.state.deployments["m"].Regions, r.state.deployments["m"].Fallbacks = c.first, c.list
		r.state.addDeployment("other", c.tenant)
		r.state.deployments["other"].Regions = c.of
		r.state.keys["infxxxx"].Models = c.models
		r.tellState()
		r.serves("n2", "north", "other", says("other"))
		res, body := r.do(r.infer, "POST", "/v1/chat/completions", chatBody)
		told := res.Header.Get(relay.HeaderDeployment)
		if served := res.StatusCode == 200 && body == `{"by":"other","choices":[]}` && told == "other"; served != c.want || (!c.want && (told != "" || res.StatusCode != 503)) {
			t.Errorf("%s: %d %s, told %q", name, res.StatusCode, body, told)
		}
		if c.want && asked != strings.Replace(chatBody, `"m"`, `"other"`, 1) {
			t.Errorf("%s: asked by %s", name, asked)
		}
	}
}

// TestFallbacksAreWritten, and refused where they make no sense.
func TestFallbacksAreWritten(t *testing.T) {
	r := newRig(t)
	put := func(fields string) (int, string) {
		res, body := r.do(r.admin, "PUT", "/admin/v1/deployments/x", `{"engine":"external"`+fields+`}`)
		return res.StatusCode, body
	}
	if s, body := put(`,"fallbacks":["a","b"],"hedge":"off"`); s != 200 || !strings.Contains(body, `"fallbacks":["a","b"],"hedge":"off"`) {
		t.Errorf("%d %s", s, body)
	}
	if c := r.state.last; wire.LevelOf(c) != 4 || len(c.GetPutDeployment().GetDeployment().GetFallbacks()) != 2 {
		t.Errorf("written %v", c)
	}
	if s, body := put(``); s != 200 || !strings.Contains(body, `"fallbacks":[],"hedge":"auto"`) || wire.LevelOf(r.state.last) >= 4 {
		t.Errorf("%d %s", s, body)
	}
	for _, bad := range []string{`"x"`, `"a","a"`, `"no good"`, `"a","b","c","d","e"`} {
		if s, body := put(`,"fallbacks":[` + bad + `]`); s != 400 || !strings.Contains(body, "fallbacks") {
			t.Errorf("%s: %d %s", bad, s, body)
		}
	}
	if s, _ := put(`,"hedge":"x"`); s != 400 {
		t.Error("an unknown word is taken")
	}
}
