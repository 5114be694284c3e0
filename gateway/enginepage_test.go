package gateway_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestWhatNoClientReads: an engine's refusal, in JSON or as a page of its web server, is told in the one form of errors, with
// what it says.
func TestWhatNoClientReads(t *testing.T) {
	r := newRig(t)
	kind, answer := "", ""
	r.node("n1", "north", 4, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, answer)
	})
	kind, answer = "application/json; charset=utf-8", `{"error":{"message":"The model is not found."}}`
	if res, body := r.do(r.infer, "POST", "/v1/chat/completions", chatBody); res.StatusCode != 404 || codeOf(t, body) != "not_found" || !strings.Contains(body, `"message":"The model is not found."`) {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	for _, kind = range []string{"text/plain; charset=utf-8", "text/html", ""} {
		answer = "404 page not found\n"
		res, body := r.do(r.infer, "POST", "/v1/chat/completions", chatBody)
		if res.StatusCode != 400 || codeOf(t, body) != "unsupported_by_model" || !strings.Contains(body, "serve POST /v1/chat/completions (status 404: 404 page not found).") || res.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%q: %d %v %s", kind, res.StatusCode, res.Header, body)
		}
	}
}
