package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestWhoLagsIsTold wherever access may have been taken away.
func TestWhoLagsIsTold(t *testing.T) {
	openDoor(t)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"id":"abc","key":"lb-abc-text","lagging":["n3"],"closing":[{"node":"n3","closes_ms":1800000000000}]}`)
	}))
	t.Cleanup(s.Close)
	for what, arguments := range map[string][]string{"abc changed": {"set", "abc", "--models", "m"}, "lb-abc-text": {"rotate", "abc", "--overlap", "0"}, "abc revoked": {"revoke", "abc"}} {
		out, err := run(t, append(append([]string{"keys"}, arguments...), "--endpoint", s.URL, "--key", "k")...)
		if err != nil || !strings.Contains(out, what) || !strings.Contains(out, "node n3 has not told that it knows") {
			t.Errorf("%v: %q, %v", arguments, out, err)
		}
	}
}
