package gateway_test

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
)

// TestWhoMay goes through the ways to be refused, on the way in and on the admin API.
func TestWhoMay(t *testing.T) {
	r := newRig(t)
	r.node("n1", "north", 4, whole)
	put := func(k string, change func(*wire.APIKey)) string {
		text := r.state.addKey(k, "t1", 0, "infer")
		change(r.state.keys[k+"xxxx"])
		r.state.fn(gateway.Change{Index: 10, Records: []gateway.Ref{{Kind: gateway.KindKey, ID: k + "xxxx"}}})
		return text
	}
	expired := put("exp", func(k *wire.APIKey) { k.ExpiresMs = time.Now().Add(-time.Second).UnixMilli() })
	revoked := put("rev", func(k *wire.APIKey) { k.RevokedMs = 1 })
	narrow := put("nar", func(k *wire.APIKey) { k.Models = []string{"llama-*"} })
	stranger := put("str", func(k *wire.APIKey) { k.Tenant = "t2" })
	meter := put("met", func(k *wire.APIKey) { k.Scopes = []string{"metrics"} })
	r.state.addDeployment("own", "t1")
	r.state.fn(gateway.Change{Index: 10, Records: []gateway.Ref{{Kind: gateway.KindDeployment, ID: "own"}}})
	typo := r.infer[:len(r.infer)-8] + "b" + r.infer[len(r.infer)-7:]
	own := strings.Replace(chatBody, `"m"`, `"own"`, 1)
	for _, c := range []struct {
		name, key, path, body string
		status                int
		code                  spec.Code
	}{
		{"no key", "", "/v1/chat/completions", chatBody, 401, spec.CodeMissingKey},
		{"a typo", typo, "/v1/chat/completions", chatBody, 401, spec.CodeInvalidKey},
		{"an expired key", expired, "/v1/chat/completions", chatBody, 401, spec.CodeExpiredKey},
		{"a revoked key", revoked, "/v1/chat/completions", chatBody, 401, spec.CodeRevokedKey},
		{"a key", r.infer, "/v1/chat/completions", chatBody, 200, ""},
		{"an admin's key", r.admin, "/v1/chat/completions", chatBody, 200, ""},
		{"a key for metrics", meter, "/v1/chat/completions", chatBody, 403, spec.CodeForbidden},
		{"a key for other models", narrow, "/v1/chat/completions", chatBody, 403, spec.CodeModelForbidden},
		{"another tenant's model", stranger, "/v1/chat/completions", own, 404, spec.CodeModelNotFound},
		{"the tenant's own model", r.infer, "/v1/models/own", "", 200, ""},
		{"an infer key as admin", r.infer, "/admin/v1/keys", "", 403, spec.CodeForbidden},
		{"nobody as admin", "", "/admin/v1/keys", "", 401, spec.CodeMissingKey},
		{"metrics by a key for them", meter, "/metrics", "", 200, ""},
		{"metrics by a key for other things", r.infer, "/metrics", "", 403, spec.CodeForbidden},
	} {
		method := "GET"
		if c.body != "" {
			method = "POST"
		}
		res, body := r.do(c.key, method, c.path, c.body)
		if res.StatusCode != c.status || (c.code != "" && codeOf(t, body) != string(c.code)) {
			t.Errorf("%s: %d %s, want %d %s", c.name, res.StatusCode, body, c.status, c.code)
		}
		if (res.Header.Get("WWW-Authenticate") != "") != (c.status == 401) {
			t.Errorf("%s: %v", c.name, res.Header)
		}
		if c.name == "a typo" && !strings.Contains(body, "typo") {
			t.Errorf("the hint says nothing of it: %s", body)
		}
	}
	if _, body := r.do(stranger, "GET", "/v1/models", ""); strings.Contains(body, `"own"`) || !strings.Contains(body, `"m"`) {
		t.Errorf("another tenant sees %s", body)
	}
}

// TestOldState refuses where the tenant allows no state so old, and only there.
func TestOldState(t *testing.T) {
	for age, status := range map[time.Duration]int{0: 200, 899 * time.Second: 200, 901 * time.Second: 503} {
		r := newRig(t) // as a state does not age faster than the time passes
		r.node("n1", "north", 4, whole)
		r.state.mu.Lock()
		r.state.age = age
		r.state.mu.Unlock()
		res, body := r.do(r.infer, "POST", "/v1/chat/completions", chatBody)
		if res.StatusCode != status || (status == 503 && (codeOf(t, body) != "state_too_old" || res.Header.Get("Retry-After") == "")) {
			t.Errorf("%v: %d %s", age, res.StatusCode, body)
		}
	}
}

func TestRevocationIsInForceWithTheAnswer(t *testing.T) {
	r := newRig(t)
	r.node("n1", "north", 4, whole)
	for range 20 {
		res, body := r.do(r.admin, "POST", "/admin/v1/keys", `{"name":"k"}`)
		text := fieldOf(t, body, "key")
		if res.StatusCode != 201 {
			t.Fatal(body)
		}
		if res, body := r.do(text, "POST", "/v1/chat/completions", chatBody); res.StatusCode != 200 {
			t.Fatalf("a new key: %d %s", res.StatusCode, body)
		}
		if res, body := r.do(r.admin, "DELETE", "/admin/v1/keys/"+fieldOf(t, body, "id"), ""); res.StatusCode != 200 {
			t.Fatal(body)
		}
		if res, body := r.do(text, "POST", "/v1/chat/completions", chatBody); res.StatusCode != 401 || codeOf(t, body) != "revoked_api_key" {
			t.Fatalf("a revoked key: %d %s", res.StatusCode, body)
		}
	}
}

// racing delivers a revocation while the gateway reads all keys for the first time.
type racing struct {
	*state
	began bool
}

func (s *racing) Keys(tenant, cursor string, limit int) ([]*wire.APIKey, string) {
	page, next := s.state.Keys(tenant, cursor, limit)
	if !s.began {
		s.began = true
		go func() {
			_, _ = s.Propose(nil, &wire.Command{RequestId: "r", AtMs: 1, Body: &wire.Command_RevokeKey{RevokeKey: &wire.RevokeKey{Id: "infxxxx"}}}) //nolint:staticcheck // not read
		}()
		time.Sleep(50 * time.Millisecond)
	}
	return page, next
}

func TestRevocationWhileStarting(t *testing.T) {
	r := newRig(t, func(c *gateway.Config) { c.State = &racing{state: c.State.(*state)} })
	eventually(t, "the revocation is in force", func() bool {
		res, _ := r.do(r.infer, "GET", "/v1/models", "")
		return res.StatusCode == 401
	})
}

// TestStateFollows: keys that are removed, and a state that is replaced.
func TestStateFollows(t *testing.T) {
	r := newRig(t)
	r.state.mu.Lock()
	gone := r.state.keys["infxxxx"]
	delete(r.state.keys, "infxxxx")
	r.state.mu.Unlock()
	r.state.fn(gateway.Change{Index: 11, Records: []gateway.Ref{{Kind: gateway.KindKey, ID: "infxxxx"}, {Kind: gateway.KindOther, ID: "x"}}})
	if res, body := r.do(r.infer, "GET", "/v1/models", ""); res.StatusCode != 401 || codeOf(t, body) != "invalid_api_key" {
		t.Errorf("a removed key: %d %s", res.StatusCode, body)
	}
	r.state.mu.Lock()
	r.state.keys["infxxxx"] = proto.Clone(gone).(*wire.APIKey)
	r.state.deployments["fresh"] = &wire.Deployment{Name: "fresh"}
	r.state.mu.Unlock()
	r.state.fn(gateway.Change{Index: 12, Reset: true})
	if res, body := r.do(r.infer, "GET", "/v1/models/fresh", ""); res.StatusCode != 200 {
		t.Errorf("after a reset: %d %s", res.StatusCode, body)
	}
}

// A far listener's clients come from elsewhere.
type far struct{ net.Listener }

type farConn struct{ net.Conn }

func (farConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }

func (f far) Accept() (net.Conn, error) {
	c, err := f.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return farConn{c}, nil
}

func TestMetricsOffLoopback(t *testing.T) {
	r := newRig(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- r.g.Serve(far{ln}) }()
	t.Cleanup(func() { _ = ln.Close(); <-served })
	if res, body := r.do("", "GET", "/metrics", ""); res.StatusCode != 200 || !strings.Contains(body, "lotabots_gateway_requests_active 0") {
		t.Errorf("on loopback: %d %s", res.StatusCode, body)
	}
	for _, name := range []string{"X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"} {
		if res, _ := r.do("", "GET", "/metrics", "", name, "192.0.2.1"); res.StatusCode != 401 {
			t.Errorf("through a proxy on this machine, by %s: %d", name, res.StatusCode)
		}
	}
	r.url = "http://" + ln.Addr().String()
	for key, status := range map[string]int{"": 401, r.infer: 403, r.admin: 200} {
		if res, _ := r.do(key, "GET", "/metrics", ""); res.StatusCode != status {
			t.Errorf("off loopback with %q: %d, want %d", key, res.StatusCode, status)
		}
	}
	for _, path := range []string{"/healthz", "/readyz", "/openapi.json"} {
		if res, _ := r.do("", "GET", path, ""); res.StatusCode != 200 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
}

// TestTopologyIsForThoseWithTheScope, on answers, on errors and in streams.
func TestTopologyIsForThoseWithTheScope(t *testing.T) {
	r := newRig(t)
	seer := r.state.addKey("top", "t1", 0, "infer", "topology")
	r.state.fn(gateway.Change{Index: 10, Records: []gateway.Ref{{Kind: gateway.KindKey, ID: "topxxxx"}}})
	r.node("n1", "north", 4, func(w http.ResponseWriter, req *http.Request) { streamed(w, req) })
	for key, want := range map[string]string{seer: "n1", r.admin: "n1", r.infer: ""} {
		res, body := r.do(key, "POST", "/v1/chat/completions", streamBody)
		if got := res.Header.Get("X-LotaBots-Node"); got != want || (want == "") != (res.Header.Get("X-LotaBots-Attempts") == "") || strings.Contains(body, "n1") {
			t.Errorf("node %q, want %q; headers %v", got, want, res.Header)
		}
	}
	r.engines.reject("n1", &spec.Rejection{Reason: spec.RejectDraining})
	for key, want := range map[string]string{seer: "1", r.infer: ""} {
		r.tell("n1", 4, 0)
		if res, _ := r.do(key, "POST", "/v1/chat/completions", chatBody); res.StatusCode != 503 || res.Header.Get("X-LotaBots-Attempts") != want {
			t.Errorf("%d, attempts %q, want %q", res.StatusCode, res.Header.Get("X-LotaBots-Attempts"), want)
		}
	}
}
