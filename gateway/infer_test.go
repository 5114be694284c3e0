package gateway_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
)

func fieldOf(t testing.TB, body, name string) string {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	s, _ := doc[name].(string)
	return s
}

// sink keeps what the gateway accounts for.
type sink struct {
	sync.Mutex
	all     []*wire.UsageRecord
	settled int
	err     error
}

func (s *sink) Note(u *wire.UsageRecord) {
	s.Lock()
	defer s.Unlock()
	s.all = append(s.all, proto.CloneOf(u))
}

func (s *sink) Settle(u *wire.UsageRecord) error {
	s.Note(u)
	s.settled++
	return s.err
}

// TestBodyPassesUntouched: what the engine gets is what the client wrote, to
// the byte, and what the client gets is what the engine wrote.
func TestBodyPassesUntouched(t *testing.T) {
	var got []byte
	r := newRig(t)
	r.node("n1", "north", 4, func(w http.ResponseWriter, req *http.Request) {
		got, _ = io.ReadAll(req.Body)
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(201)
		_, _ = io.WriteString(w, " {\"unknown\" :1e2,\"choices\":[]}\n")
	})
	sent := " {\"x_unknown\":{\"deep\":[1.50,\"\\u00e9\"]},\n\t\"model\":\"m\" , \"messages\":[{\"content\":\"hi\",\"role\":\"user\",\"x\":null}],\"logit_bias\":{\"5\":-1}} "
	res, body := r.do(r.infer, "POST", "/v1/chat/completions", sent, "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if string(got) != sent {
		t.Errorf("the engine got %q", got)
	}
	if res.StatusCode != 200 || body != " {\"unknown\" :1e2,\"choices\":[]}\n" || res.Header.Get("Content-Type") != "application/json; charset=utf-8" {
		t.Errorf("the client got %d %q, %v", res.StatusCode, body, res.Header)
	}
	c := r.engines.last()
	if c.Tenant != "t1" || c.Key != "infxxxx" || c.Deployment != "m" || c.Version != 1 || c.Attempt != 1 || c.Path != "/v1/chat/completions" || c.Gateway != "n1" ||
		c.RequestID != res.Header.Get("X-Request-Id") || c.Deadline.IsZero() || c.Stream || c.TraceParent != "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" {
		t.Errorf("call %+v", c)
	}
}

func TestRequestIDs(t *testing.T) {
	r := newRig(t)
	seen := map[string]bool{}
	for sent, kept := range map[string]bool{"mine-1.2:3_X": true, "": false, "has space": false, strings.Repeat("x", 128): true, strings.Repeat("x", 129): false, "quote\"": false} {
		res, body := r.do("", "GET", "/nowhere", "", "X-Request-Id", sent)
		id := res.Header.Get("X-Request-Id")
		if (id == sent) != kept || id == "" || seen[id] || !strings.Contains(body, id) {
			t.Errorf("sent %q, got %q in %s", sent, id, body)
		}
		seen[id] = true
		if res.Header.Get("X-LotaBots-Gateway") != "n1" {
			t.Errorf("headers %v", res.Header)
		}
	}
}

func TestErrorsOfRequests(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		body, code string
		status     int
		has        []string
	}{
		{"{", "invalid_json", 400, nil},
		{`[]`, "invalid_json", 400, nil},
		{`{"model":"m","messages":[],"n":0,"top_p":9}`, "invalid_request", 400, []string{`"param":"messages"`, `"param":"n"`, `"param":"top_p"`, "2 more in errors"}},
		{`{"model":"M","messages":[{"role":"user"}]}`, "model_not_found", 404, []string{"Did you mean m?"}},
		{`{"model":"` + strings.Repeat("x", 5000) + `","messages":[{"role":"user"}]}`, "model_not_found", 404, []string{"xxx..."}},
		{chatBody, "model_not_ready", 503, []string{`"hint":"lotabots status shows why`}},
	} {
		res, body := r.do(r.infer, "POST", "/v1/chat/completions", c.body)
		if res.StatusCode != c.status || codeOf(t, body) != c.code {
			t.Errorf("%.60s: %d %.300s", c.body, res.StatusCode, body)
		}
		for _, want := range c.has {
			if !strings.Contains(body, want) {
				t.Errorf("%.60s: %.600s lacks %s", c.body, body, want)
			}
		}
		if c.status == 503 && res.Header.Get("Retry-After") == "" {
			t.Errorf("no Retry-After in %v", res.Header)
		}
	}
}

func TestLimitOfAKey(t *testing.T) {
	r := newRig(t)
	r.node("n1", "north", 4, whole)
	key := r.state.addKey("lim", "t1", 6, "infer") // a burst of one of six a minute
	r.state.fn(gateway.Change{Index: 10, Records: []gateway.Ref{{Kind: gateway.KindKey, ID: "limxxxx"}}})
	refused := 0
	for range 8 {
		res, body := r.do(key, "POST", "/v1/chat/completions", chatBody)
		h := res.Header
		if h.Get("X-Ratelimit-Limit-Requests") != "6" || h.Get("X-Ratelimit-Remaining-Requests") == "" || h.Get("X-Ratelimit-Reset-Requests") == "" {
			t.Fatalf("headers %v", h)
		}
		if res.StatusCode == 429 {
			refused++
			if codeOf(t, body) != "rate_limit_exceeded" || h.Get("Retry-After") == "" || h.Get("Retry-After") == "0" {
				t.Errorf("%s, headers %v", body, h)
			}
		}
	}
	if refused != 7 {
		t.Errorf("%d of 8 were refused", refused)
	}
	if res, _ := r.do(r.infer, "POST", "/v1/chat/completions", chatBody); res.StatusCode != 200 || res.Header.Get("X-Ratelimit-Limit-Requests") != "" {
		t.Errorf("a key without a limit: %d %v", res.StatusCode, res.Header)
	}
}

func TestAccounting(t *testing.T) {
	s := sink{err: errors.New("no room")} // and it is answered all the same
	r := newRig(t, func(c *gateway.Config) {
		c.Usage = &s
		c.RegionOf = func(n spec.NodeID) string { return "region of " + string(n) }
	})
	fail := false
	r.node("n1", "north", 4, func(w http.ResponseWriter, req *http.Request) {
		if fail {
			w.WriteHeader(500)
			return
		}
		whole(w, req)
	})
	r.do(r.infer, "POST", "/v1/chat/completions", chatBody)
	fail = true
	r.do(r.infer, "POST", "/v1/chat/completions", chatBody)
	r.do(r.infer, "POST", "/v1/chat/completions", "{")
	r.do("", "POST", "/v1/chat/completions", chatBody)
	for _, wrong := range []string{`"temperature":9`, `"n":-1,"top_p":7`} {
		if res, body := r.do(r.infer, "POST", "/v1/chat/completions", strings.Replace(chatBody, "{", "{"+wrong+",", 1)); res.StatusCode != 400 {
			t.Errorf("%s: %d %s", wrong, res.StatusCode, body)
		}
	}
	r.do(r.infer, "POST", "/v1/chat/completions", strings.Replace(strings.Replace(chatBody, "{", `{"temperature":9,`, 1), `"model":"`, `"model":"no-`, 1))
	s.Lock()
	defer s.Unlock()
	for _, u := range s.all[min(2, len(s.all)):] {
		if u.GetOutcome() != spec.UsageRefused || u.GetDeployment() != s.all[0].GetDeployment() || u.GetVersion() != s.all[0].GetVersion() || u.GetKey() == "" || u.GetRequest() == "" || u.GetPrompt() != 0 || u.GetUnknown() {
			t.Errorf("of a request that was at fault: %+v", u)
		}
	}
	if len(s.all) != 4 || s.settled != 4 {
		t.Fatalf("%d usages, %d settled: %+v", len(s.all), s.settled, s.all)
	}
	ok, bad := s.all[0], s.all[1]
	if ok.Key != "infxxxx" || ok.Tenant != "t1" || ok.Deployment != "m" || ok.Version != 1 || ok.Node != "n1" || ok.Attempts != 1 || ok.Endpoint != "/v1/chat/completions" ||
		ok.Prompt != 3 || ok.Completion != 2 || ok.Unknown || ok.Code != "" || ok.Outcome != spec.UsageOK || ok.AtMs == 0 || ok.Request == "" || ok.Region != "region of n1" {
		t.Errorf("%+v", ok)
	}
	if bad.Code != string(spec.CodeUpstream) || bad.Outcome != spec.UsageFailed || !bad.Unknown || bad.Prompt != 0 {
		t.Errorf("%+v", bad)
	}
	_, shown := r.do("", "GET", "/metrics", "")
	for _, want := range []string{`requests_total{code="ok",endpoint="chat"} 1`, `requests_total{code="engine_error",endpoint="chat"} 1`, `requests_total{code="invalid_json",endpoint="chat"} 1`,
		"requests_active 0", "prompt_tokens_total 3", "completion_tokens_total 2"} {
		if !strings.Contains(shown, "lotabots_gateway_"+want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// TestResidency sends nothing outside the allowed regions, however empty those are.
func TestResidency(t *testing.T) {
	r := newRig(t)
	r.state.mu.Lock()
	r.state.deployments["m"] = &wire.Deployment{Name: "m", Version: 1, Regions: []string{"north"}}
	r.state.mu.Unlock()
	r.state.fn(gateway.Change{Index: 11, Records: []gateway.Ref{{Kind: gateway.KindDeployment, ID: "m"}}})
	r.node("n2", "south", 4, whole)
	if res, body := r.do(r.infer, "POST", "/v1/chat/completions", chatBody); res.StatusCode != 503 || r.engines.count("n2") != 0 {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	r.node("n3", "north", 4, whole)
	if res, body := r.do(r.infer, "POST", "/v1/chat/completions", chatBody); res.StatusCode != 200 || r.engines.count("n2") != 0 {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if got := r.engines.last().Regions; len(got) != 1 || got[0] != "north" {
		t.Errorf("the call allows %v", got)
	}
}
