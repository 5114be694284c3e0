package gateway_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/gateway"
)

func TestCORS(t *testing.T) {
	const page = "https://chat.example.com"
	named := func(c *gateway.Config) { c.Origins, c.Credentials = []string{page}, true }
	all := func(c *gateway.Config) { c.Origins = []string{"*"} }
	for _, c := range []struct {
		name        string
		config      func(*gateway.Config)
		origin      string
		allow       string
		credentials string
	}{
		{"nothing is configured", func(*gateway.Config) {}, page, "", ""},
		{"a named origin", named, page, page, "true"},
		{"another", named, "https://evil.example.com", "", ""},
		{"a longer one", named, page + ".evil.com", "", ""},
		{"no browser", named, "", "", ""},
		{"all", all, page, "*", ""},
		{"all, from a file", all, "null", "*", ""},
	} {
		r := newRig(t, c.config)
		r.node("n1", "north", 4, whole)
		var origin []string
		if c.origin != "" {
			origin = []string{"Origin", c.origin}
		}
		told := func(res *http.Response) (string, string) {
			return res.Header.Get("Access-Control-Allow-Origin"), res.Header.Get("Access-Control-Allow-Credentials")
		}
		res, _ := r.do(r.infer, "POST", "/v1/chat/completions", chatBody, origin...)
		if allow, credentials := told(res); res.StatusCode != 200 || allow != c.allow || credentials != c.credentials {
			t.Errorf("%s: %d, %q, %q", c.name, res.StatusCode, allow, credentials)
		}
		if reads := strings.Contains(res.Header.Get("Access-Control-Expose-Headers"), "X-Request-Id"); reads != (c.allow != "") {
			t.Errorf("%s: exposed %q", c.name, res.Header.Get("Access-Control-Expose-Headers"))
		}
		if c.name == "another" && !slices.Contains(res.Header.Values("Vary"), "Origin") {
			t.Errorf("Vary: %q", res.Header.Values("Vary"))
		}
		res, _ = r.do("", "POST", "/v1/chat/completions", chatBody, origin...) // errors are read, too
		if allow, _ := told(res); res.StatusCode != 401 || allow != c.allow {
			t.Errorf("%s, without a key: %d, %q", c.name, res.StatusCode, allow)
		}
		res, body := r.do("", "OPTIONS", "/v1/chat/completions", "", append(origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,x-stainless-os")...)
		methods, headers := res.Header.Get("Access-Control-Allow-Methods"), res.Header.Get("Access-Control-Allow-Headers")
		if allow, _ := told(res); res.StatusCode != 204 || allow != c.allow || strings.Contains(methods, "POST") != (c.allow != "") ||
			(headers == "authorization,x-stainless-os") != (c.allow != "") || body != "" {
			t.Errorf("%s, preflight: %d, %q, methods %q, headers %q", c.name, res.StatusCode, allow, methods, headers)
		}
	}
}

// TestEveryPathTellsItsMethods by OPTIONS, with 405, and as HEAD has it.
func TestEveryPathTellsItsMethods(t *testing.T) {
	r := newRig(t)
	r.node("n1", "north", 4, whole)
	for path, want := range map[string]string{
		"/v1/chat/completions": "OPTIONS, POST", "/v1/models": "GET, HEAD, OPTIONS", "/admin/v1/keys/x": "DELETE, GET, HEAD, OPTIONS, PATCH", "/v2/models/m/infer": "OPTIONS, POST",
	} {
		for method, status := range map[string]int{"OPTIONS": 204, "TRACE": 405} {
			res, _ := r.do("", method, path, "")
			got := strings.Split(res.Header.Get("Allow"), ", ")
			slices.Sort(got)
			if res.StatusCode != status || strings.Join(got, ", ") != want {
				t.Errorf("%s %s: %d, Allow %q, want %q", method, path, res.StatusCode, got, want)
			}
		}
	}
	for _, path := range []string{"/v1/models", "/v1/models/m", "/healthz", "/v2/models/m/ready", "/openapi.json"} {
		res, body := r.do(r.admin, "HEAD", path, "")
		full, whole := r.do(r.admin, "GET", path, "")
		if res.StatusCode != 200 || body != "" || res.Header.Get("Content-Type") != full.Header.Get("Content-Type") || len(whole) == 0 {
			t.Errorf("HEAD %s: %d %q, %v", path, res.StatusCode, body, res.Header)
		}
	}
}

// TestTLS: real handshakes, and a client that leaves is noticed through it.
func TestTLS(t *testing.T) {
	lender := httptest.NewUnstartedServer(nil) // for its certificate
	lender.StartTLS()
	defer lender.Close()
	r := newRig(t, func(c *gateway.Config) {
		c.TLS = &tls.Config{Certificates: lender.TLS.Certificates, MinVersion: tls.VersionTLS12}
	})
	r.node("n1", "north", 4, func(w http.ResponseWriter, req *http.Request) {
		if body, _ := io.ReadAll(req.Body); strings.Contains(string(body), `"stream":true`) {
			w.Header().Set("Content-Type", "text/event-stream")
			event(w, "a")
			<-req.Context().Done()
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	})
	client := lender.Client()
	url := strings.Replace(r.url, "http://", "https://", 1)
	ask := func(body string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "POST", url+"/v1/chat/completions", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+r.infer)
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	res := ask(chatBody)
	body, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if res.StatusCode != 200 || string(body) != answer || res.TLS == nil {
		t.Errorf("%d %q", res.StatusCode, body)
	}
	res = ask(streamBody)
	_, _ = io.ReadFull(res.Body, make([]byte, 10))
	res.Body.Close()
	eventually(t, "the engine's stop", func() bool { return r.engines.inFlight.Load() == 0 })
	res = ask(strings.Repeat(" ", 33<<20)) // refused, and read nevertheless
	body, _ = io.ReadAll(res.Body)
	res.Body.Close()
	if res.StatusCode != 413 {
		t.Errorf("%d %q", res.StatusCode, body)
	}
	client.CloseIdleConnections()
}
