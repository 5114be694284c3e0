package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
)

// TestTrafficIsSplit between a deployment and the next version of its model, as the setting has it.
func TestTrafficIsSplit(t *testing.T) {
	models := map[string]int{}
	r := newRig(t, func(c *gateway.Config) {
		c.State.(*state).addDeployment("next", "")
		c.State.(*state).addDeployment("theirs", "t2")
	})
	serve := func(w http.ResponseWriter, req *http.Request) {
		raw, _ := io.ReadAll(req.Body)
		models[fieldOf(t, string(raw), "model")]++
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	}
	r.node("n1", "north", 4, serve)
	r.g.Table().Observe(&wire.LoadDigest{Node: "n1", Boot: r.boot, Devices: []*wire.DeviceLoad{{Device: "gpu/2", Seq: digests.Add(1), Instances: []*wire.InstanceLoad{
		{Instance: "i-next", Deployment: "next", Version: 1, State: wire.InstanceState_INSTANCE_STATE_READY, Slots: 4}}}}}, time.Now())
	put := func(value string, status int) {
		t.Helper()
		if res, body := r.do(r.admin, "PUT", "/admin/v1/settings/traffic/m", fmt.Sprintf(`{"value":%q}`, value)); res.StatusCode != status {
			t.Fatalf("%s: %d %s", value, res.StatusCode, body)
		}
	}
	for _, wrong := range []string{"next", "next=0", "next=60,theirs=50", "=5", "next=-1"} {
		put(wrong, 400)
	}
	ask := func(session string) (served string) {
		t.Helper()
		res, body := r.do(r.infer, "POST", "/v1/chat/completions", chatBody, "X-LotaBots-Session", session)
		if res.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", res.StatusCode, body)
		}
		return res.Header.Get("X-LotaBots-Deployment")
	}
	put("next=50,theirs=25", 200)
	served := map[string]int{}
	for i := range 200 {
		name := fmt.Sprint(i)
		was := ask(name)
		served[was]++
		if i < 20 && ask(name) != was {
			t.Errorf("session %d is served by both", i)
		}
	}
	if served["next"] < 70 || served["next"] > 130 || served["theirs"] != 0 || served[""]+served["next"] != 200 {
		t.Errorf("served by %v", served)
	}
	for range 20 {
		served[ask("")]++
	}
	if models["next"] == 0 || models["m"] == 0 || len(models) != 2 {
		t.Errorf("engines were asked for %v", models)
	}
	if res, body := r.do(r.admin, "DELETE", "/admin/v1/settings/traffic/m", ""); res.StatusCode >= 300 {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	for i := range 20 {
		if at := ask(fmt.Sprint(i)); strings.Contains(at, "next") {
			t.Error("split though nothing says so")
		}
	}
}
