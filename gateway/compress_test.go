package gateway_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/gateway/coding"
)

// ask sends a body of any bytes and reads the answer as it came.
func (r *rig) coded(method, path string, body []byte, headers ...string) (*http.Response, []byte) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.admin)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept-Encoding", "identity") // else Go's client asks for gzip and hides that it came
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := unfollowed.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res, raw
}

// TestAnswersAreCompressed as clients want it, whole ones of some size alone.
func TestAnswersAreCompressed(t *testing.T) {
	r := newRig(t)
	long := `{"choices":[],"text":"` + strings.Repeat("and so on ", 500) + `"}`
	r.node("n1", "north", 4, func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		switch {
		case strings.Contains(string(body), `"stream":true`):
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: "+long+"\n\n"+ends+"data: [DONE]\n\n")
		case strings.Contains(string(body), `"short"`):
			_, _ = io.WriteString(w, `{"choices":[]}`)
		case strings.Contains(string(body), `"sound"`):
			w.Header().Set("Content-Type", "audio/wav")
			_, _ = io.WriteString(w, long)
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, long)
		}
	})
	_, description := r.coded("GET", "/openapi.json", nil)
	for _, c := range []struct{ method, path, body, accept, coding, vary string }{
		{"POST", "/v1/chat/completions", chatBody, "gzip, deflate, br, zstd", "zstd", "Accept-Encoding"},
		{"POST", "/v1/chat/completions", chatBody, "br", "br", "Accept-Encoding"},
		{"POST", "/v1/chat/completions", chatBody, "gzip;q=0.5", "gzip", "Accept-Encoding"},
		{"POST", "/v1/chat/completions", chatBody, "", "", "Accept-Encoding"},
		{"POST", "/v1/chat/completions", chatBody, "deflate", "", "Accept-Encoding"},
		{"POST", "/v1/chat/completions", streamBody, "gzip", "", ""},
		{"POST", "/v2/models/m/infer", `{"inputs":["sound"]}`, "gzip", "", ""},
		{"POST", "/v1/chat/completions", strings.Replace(chatBody, "hi", "short", 1), "gzip", "", "Accept-Encoding"},
		{"POST", "/v1/chat/completions", strings.Replace(chatBody, "hi", "short", 1), "gzip, identity;q=0", "gzip", "Accept-Encoding"},
		{"GET", "/openapi.json", "", "br, gzip", "br", "Accept-Encoding"},
		{"GET", "/healthz", "", "gzip", "", "Accept-Encoding"},
		{"GET", "/nowhere/" + strings.Repeat("x", 2000), "", "gzip", "", "Accept-Encoding"},
	} {
		r.tell("n1", 4, 0)
		res, raw := r.coded(c.method, c.path, []byte(c.body), "Accept-Encoding", c.accept)
		if got := res.Header.Get("Content-Encoding"); got != c.coding || res.Header.Get("Vary") != c.vary {
			t.Errorf("%s %q: %q, Vary %q, want %q and %q", c.path, c.accept, got, res.Header.Get("Vary"), c.coding, c.vary)
			continue
		}
		plain, err := coding.Restore(c.coding, raw, 1<<22, nil)
		if err != nil || c.path == "/v1/chat/completions" && !strings.Contains(c.body, "short") && !strings.Contains(string(plain), long) || c.path == "/openapi.json" && !bytes.Equal(plain, description) {
			t.Errorf("%s %q: %d bytes, %v", c.path, c.accept, len(plain), err)
		}
		if c.coding != "" && len(raw) >= len(plain) && !strings.Contains(c.body, "short") {
			t.Errorf("%s %q: %d bytes for %d", c.path, c.accept, len(raw), len(plain))
		}
	}
}

// TestCompressedBodiesAreRead, within the limit that plain ones have.
func TestCompressedBodiesAreRead(t *testing.T) {
	r := newRig(t)
	got := make(chan string, 1)
	r.node("n1", "north", 4, func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		got <- string(body)
		_, _ = io.WriteString(w, `{"choices":[]}`)
	})
	for _, name := range []string{"gzip", "br", "zstd", "identity"} {
		body := []byte(chatBody)
		if name != "identity" {
			body = coding.Compress(nil, name, body)
		}
		r.tell("n1", 4, 0)
		if res, answer := r.coded("POST", "/v1/chat/completions", body, "Content-Encoding", name); res.StatusCode != 200 {
			t.Fatalf("%s: %d %s", name, res.StatusCode, answer)
		}
		if s := <-got; s != chatBody {
			t.Errorf("%s: the engine got %q", name, s)
		}
		if res, answer := r.coded("PUT", "/admin/v1/settings/colour", coding.Compress(nil, "gzip", []byte(`{"value":"red"}`)), "Content-Encoding", "gzip"); res.StatusCode != 200 {
			t.Errorf("admin: %d %s", res.StatusCode, answer)
		}
	}
	bomb := coding.Compress(nil, "zstd", make([]byte, 64<<20))
	for name, c := range map[string]struct {
		path, encoding string
		body           []byte
		status         int
		code           string
	}{
		"a bomb":       {"/v1/chat/completions", "zstd", bomb, 413, "body_too_large"},
		"a lie":        {"/v1/chat/completions", "gzip", []byte(chatBody), 400, "invalid_request"},
		"another kind": {"/v1/chat/completions", "deflate", []byte(chatBody), 415, "unsupported_media_type"},
		"two of them":  {"/v1/chat/completions", "gzip, br", []byte(chatBody), 415, "unsupported_media_type"},
		"an admin's":   {"/admin/v1/keys", "compress", []byte("{}"), 415, "unsupported_media_type"},
	} {
		res, answer := r.coded("POST", c.path, c.body, "Content-Encoding", c.encoding)
		if res.StatusCode != c.status || codeOf(t, string(answer)) != c.code || c.status == 415 && res.Header.Get("Accept-Encoding") == "" {
			t.Errorf("%s: %d %s", name, res.StatusCode, answer)
		}
	}
	if res, answer := r.coded("PUT", "/admin/v1/models/zip", []byte("x"), "Content-Encoding", "gzip"); res.StatusCode != 415 {
		t.Errorf("a model: %d %s", res.StatusCode, answer)
	}
}

// TestNothingAcceptable: who takes no answer in any form is told so before an engine works for it.
func TestNothingAcceptable(t *testing.T) {
	r := newRig(t)
	r.node("n1", "north", 4, func(w http.ResponseWriter, _ *http.Request) { t.Error("the engine was asked") })
	for _, accept := range []string{"identity;q=0", "*;q=0", "deflate, *;q=0"} {
		res, raw := r.coded("POST", "/v1/chat/completions", []byte(chatBody), "Accept-Encoding", accept)
		if res.StatusCode != 406 || codeOf(t, string(raw)) != "not_acceptable" || res.Header.Get("Content-Encoding") != "" {
			t.Errorf("%q: %d %s", accept, res.StatusCode, raw)
		}
	}
}
