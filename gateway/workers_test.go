package gateway_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/gateway"
)

// TestWorkersAreShown: /metrics tells what is known of each instance, how requests
// ended where, and what the limiter holds.
func TestWorkersAreShown(t *testing.T) {
	r := newRig(t, func(c *gateway.Config) { c.Balance.DigestInterval = time.Hour })
	r.node("n1", "north", 4, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"choices":[]}`) })
	limited := r.state.addKey("lim", "t1", 60_000, "infer")
	r.tellState()
	for range 3 {
		if res, body := r.do(limited, "POST", "/v1/chat/completions", chatBody); res.StatusCode != 200 {
			t.Fatal(res.StatusCode, body)
		}
	}
	_, shown := r.do("", "GET", "/metrics", "")
	of := `{deployment="m",device="cpu/n1",instance="i-n1",node="n1"}`
	for _, want := range []string{
		"lotabots_gateway_instance_slots" + of + " 4",
		"lotabots_gateway_instance_requests_active" + of + " 0",
		"lotabots_gateway_instance_breaker_state" + of + " 0",
		"lotabots_gateway_instance_device_utilisation_ratio" + of + " 0",
		`lotabots_gateway_deployment_queue_requests{deployment="m"} 0`,
		`lotabots_gateway_worker_requests_total{code="ok",endpoint="chat",node="n1"} 3`,
		`lotabots_gateway_worker_duration_seconds_count{node="n1"} 3`,
		`lotabots_gateway_limiter_limits{state="held"} 1`,
		"lotabots_host_load_ratio ",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("%s is not shown", want)
		}
	}
}
