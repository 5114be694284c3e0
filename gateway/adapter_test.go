package gateway_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
)

// adaptedRig has the deployment m with the adapters m-fr and secret-de, and a key for m*.
func adaptedRig(t *testing.T, change ...func(*gateway.Config)) (r *rig, limited string) {
	r = newRig(t, change...)
	r.state.models["fr"], r.state.models["de"] = &wire.Model{Name: "fr"}, &wire.Model{Name: "de"}
	r.state.deployments["m"].Adapters = []*wire.Adapter{{Name: "m-fr", Model: "fr"}, {Name: "secret-de", Model: "de"}}
	limited = r.state.addKey("lim", "t1", 0, "infer")
	r.state.keys["limxxxx"].Models = []string{"m*"}
	r.state.fn(gateway.Change{Index: 11, Records: []gateway.Ref{{Kind: gateway.KindKey, ID: "limxxxx"}, {Kind: gateway.KindDeployment, ID: "m"}}})
	return r, limited
}

func TestClientsNameAdapters(t *testing.T) {
	r, limited := adaptedRig(t)
	r.node("n1", "north", 4, whole)
	ask := func(key, model string) (int, string) {
		res, body := r.do(key, "POST", "/v1/chat/completions", strings.Replace(chatBody, `"m"`, `"`+model+`"`, 1))
		return res.StatusCode, body
	}
	for _, c := range []struct{ model, adapter string }{{"m", ""}, {"m-fr", "m-fr"}, {"secret-de", "secret-de"}} {
		status, body := ask(r.infer, c.model)
		if call := r.engines.last(); status != 200 || call.Deployment != "m" || call.Adapter != c.adapter {
			t.Errorf("%s: %d %s; the call is %+v", c.model, status, body, call)
		}
	}
	if status, body := ask(limited, "m-fr"); status != 200 {
		t.Errorf("a key for m*: %d %s", status, body)
	}
	if status, body := ask(limited, "secret-de"); status != 403 || codeOf(t, body) != string(spec.CodeModelForbidden) {
		t.Errorf("a key for m* asks for another name: %d %s", status, body)
	}
	if status, body := ask(r.infer, "m-fx"); status != 404 || !strings.Contains(body, "m-fr") {
		t.Errorf("a name that is near: %d %s", status, body)
	}
	var list struct{ Data []struct{ ID, Parent string } }
	_, body := r.do(limited, "GET", "/v1/models", "")
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Data) != 2 || list.Data[0].ID != "m" || list.Data[0].Parent != "" ||
		list.Data[1].ID != "m-fr" || list.Data[1].Parent != "m" {
		t.Errorf("%v: %s", err, body)
	}
	if res, body := r.do(r.infer, "GET", "/v1/models/m-fr", ""); res.StatusCode != 200 || fieldOf(t, body, "parent") != "m" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if res, body := r.do(limited, "GET", "/v1/models/secret-de", ""); res.StatusCode != 403 {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

// TestAnAdapterIsWaitedFor: an actor that loads it is asked again.
func TestAnAdapterIsWaitedFor(t *testing.T) {
	r, _ := adaptedRig(t)
	r.node("n1", "north", 4, whole)
	r.engines.reject("n1", &spec.Rejection{Reason: spec.RejectLoading, RetryAfter: time.Millisecond})
	done := make(chan int, 1)
	go func() {
		res, _ := r.do(r.infer, "POST", "/v1/chat/completions", strings.Replace(chatBody, `"m"`, `"m-fr"`, 1))
		done <- res.StatusCode
	}()
	eventually(t, "the actor to be asked", func() bool { return r.engines.count("n1") >= 1 })
	r.engines.reject("n1", nil)
	r.tell("n1", 4, 0)
	eventually(t, "an answer", func() bool { r.tell("n1", 4, 0); return len(done) == 1 })
	if status := <-done; status != http.StatusOK {
		t.Errorf("status %d", status)
	}
}

func TestNamesOfAdapters(t *testing.T) {
	r, _ := adaptedRig(t, func(c *gateway.Config) {
		c.CheckEngine = func(d *wire.Deployment) error {
			if d.GetEngine() == "ollama" && len(d.GetAdapters()) > 0 {
				return &spec.Error{Code: spec.CodeUnsupported, Param: "adapters", Message: "takes no adapters"}
			}
			return nil
		}
	})
	r.state.addDeployment("other", "")
	r.state.fn(gateway.Change{Index: 12, Records: []gateway.Ref{{Kind: gateway.KindDeployment, ID: "other"}}})
	for _, c := range []struct {
		name, body, wants string
		status            int
	}{
		{"n", `{"engine":"embedded","model":"fr","adapters":{"n-fr":"fr"}}`, "", 200},
		{"m", `{"engine":"embedded","model":"fr","adapters":{"m-fr":"de"}}`, "", 200},
		{"n", `{"engine":"embedded","model":"fr","adapters":{"other":"fr"}}`, "adapters.other", 400},
		{"n", `{"engine":"embedded","model":"fr","adapters":{"m-fr":"fr"}}`, "adapters.m-fr", 400},
		{"n", `{"engine":"embedded","model":"fr","adapters":{"n":"fr"}}`, "adapters.n", 400},
		{"m-fr", `{"engine":"embedded","model":"fr"}`, "name", 400},
		{"n", `{"engine":"ollama","model":"fr","adapters":{"n-fr":"fr"}}`, "takes no adapters", 400},
	} {
		res, body := r.do(r.admin, "PUT", "/admin/v1/deployments/"+c.name, c.body)
		if res.StatusCode != c.status || !strings.Contains(body, c.wants) {
			t.Errorf("%s %s: %d %s", c.name, c.body, res.StatusCode, body)
		}
	}
}

// TestAnAdapterThatFailed: the request ends at once, and says which it was; the model
// itself goes on.
func TestAnAdapterThatFailed(t *testing.T) {
	r, _ := adaptedRig(t)
	r.node("n1", "north", 4, whole)
	r.engines.reject("n1", &spec.Rejection{Reason: spec.RejectAdapter})
	res, body := r.do(r.infer, "POST", "/v1/chat/completions", strings.Replace(chatBody, `"m"`, `"m-fr"`, 1))
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "10" || !strings.Contains(body, "m-fr") || r.engines.count("n1") != 1 {
		t.Errorf("%d %v %s", res.StatusCode, res.Header, body)
	}
	r.engines.reject("n1", nil)
	if res, body := r.do(r.infer, "POST", "/v1/chat/completions", chatBody); res.StatusCode != http.StatusOK {
		t.Errorf("the model itself: %d %s", res.StatusCode, body)
	}
}
