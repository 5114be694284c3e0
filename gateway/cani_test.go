package gateway_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/wire"
)

// TestCanISaysWhatHappens: what a key is narrowed to, and whether there is the model.
func TestCanISaysWhatHappens(t *testing.T) {
	r := newRig(t)
	r.state.addDeployment("theirs", "t2")
	r.state.addDeployment("south", "t1")
	r.state.deployments["south"].Regions = []string{"south"}
	few, north := r.state.addKey("few", "t1", 0, "infer"), r.state.addKey("nor", "t1", 0, "infer")
	r.state.keys["fewxxxx"].Models, r.state.keys["norxxxx"].Regions = []string{"llama-*"}, []string{"north"}
	r.tellState()
	r.node("n1", "north", 4, whole)
	for _, c := range []struct {
		key, model string
		status     int // of a request, where it is refused
		text       string
	}{
		{r.infer, "m", 0, "is given by"}, {r.infer, "no-such", 404, `There is no model "no-such"`}, {r.infer, "theirs", 404, `There is no model "theirs"`},
		{few, "m", 403, "limited to the models llama-*"}, {north, "south", 403, "served in south alone"}, {north, "m", 0, "is given by"},
	} {
		_, body := r.do(c.key, "POST", "/auth/v1/can-i", `{"verb":"infer","resource":"model:`+c.model+`"}`)
		var d struct {
			Allowed bool
			Text    string
		}
		if err := json.Unmarshal([]byte(body), &d); err != nil || d.Allowed != (c.status == 0) || !strings.Contains(d.Text, c.text) {
			t.Errorf("%s: %s, want %q", c.model, body, c.text)
		}
		if res, body := r.do(c.key, "POST", "/v1/chat/completions", strings.Replace(chatBody, `"m"`, `"`+c.model+`"`, 1)); c.status != 0 && res.StatusCode != c.status || c.status == 0 && res.StatusCode != 200 {
			t.Errorf("a request to %s: %d %s", c.model, res.StatusCode, body)
		}
	}
}

// TestCanIOfOthersTellsWhatOneMaySee: a tenant's admin does not learn who has what in
// the whole cluster.
func TestCanIOfOthersTellsWhatOneMaySee(t *testing.T) {
	r := powersRig(t)
	r.state.bindings["b-big"] = &wire.Binding{Id: "b-big", Subject: "key:infxxxx", Role: "admin"}
	r.tellState()
	head, boss, chief := r.enter("head"), r.enter("boss"), r.enter("chief")
	for _, c := range []struct {
		who, subject, verb string
		allowed            bool
	}{
		{head, "user:chief", "nodes.remove", false}, {head, "user:chief", "keys.write", false}, {head, "key:infxxxx", "nodes.read", false}, {head, "key:infxxxx", "infer", true},
		{head, "user:dev", "keys.own", true}, {boss, "user:chief", "nodes.remove", true}, {chief, "user:chief", "nodes.remove", true}, {boss, "key:infxxxx", "nodes.read", true},
	} {
		_, body := r.do(c.who, "POST", "/auth/v1/can-i", `{"verb":"`+c.verb+`","subject":"`+c.subject+`"}`)
		if strings.Contains(body, `"allowed":true`) != c.allowed || !c.allowed && !strings.Contains(body, "left out") {
			t.Errorf("%s to %s: %s", c.subject, c.verb, body)
		}
	}
}

// TestWhoAmIShowsWhatCounts: what is of the whole cluster is nothing in a tenant.
func TestWhoAmIShowsWhatCounts(t *testing.T) {
	r := powersRig(t)
	scoped := r.state.addKey("sco", "t1", 0, "cluster.*", "keys.read")
	r.tellState()
	for _, c := range []struct {
		key     string
		cluster bool
		has     string
	}{{r.enter("head"), false, `"keys.*"`}, {r.enter("chief"), true, `"keys.*"`}, {scoped, true, `"tenant":"t1","permissions":["keys.read"]`}} {
		_, body := r.do(c.key, "GET", "/auth/v1/whoami", "")
		if strings.Contains(body, "cluster.") != c.cluster || !strings.Contains(body, c.has) || strings.Contains(body, `"tenant":"t1","permissions":["cluster.`) {
			t.Errorf("%s", body)
		}
	}
	if res, body := r.do("", "GET", "/auth/v1/whoami", ""); res.StatusCode != 401 || !strings.Contains(body, "lotabots login") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}
