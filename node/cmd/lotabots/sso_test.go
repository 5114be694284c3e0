package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
)

// TestSSOSettings: each flag that is given is written to its setting, and no other;
// an empty value takes the setting away.
func TestSSOSettings(t *testing.T) {
	d, endpoint := openDoor(t)
	set := func(flags ...string) []string {
		t.Helper()
		d.mu.Lock()
		d.asked = nil
		d.mu.Unlock()
		if _, err := run(t, append([]string{"sso", "set", "--endpoint", endpoint, "--key", "k"}, flags...)...); err != nil {
			t.Fatal(err)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		return slices.Clone(d.asked)
	}
	if got := set("--tenant", "acme"); !slices.Equal(got, []string{`PUT /admin/v1/settings/oidc/tenant Bearer k {"value":"acme"}`}) {
		t.Errorf("asked %q", got)
	}
	if got := set("--tenant", ""); !slices.Equal(got, []string{"DELETE /admin/v1/settings/oidc/tenant Bearer k "}) {
		t.Errorf("asked %q", got)
	}
	if got := set("--issuer", "https://idp.example", "--client-id", "lb"); !slices.Equal(got, []string{
		`PUT /admin/v1/settings/oidc/issuer Bearer k {"value":"https://idp.example"}`, `PUT /admin/v1/settings/oidc/client-id Bearer k {"value":"lb"}`,
	}) {
		t.Errorf("asked %q", got)
	}
}

func TestSSOShow(t *testing.T) {
	openDoor(t)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"data": []map[string]string{{"name": spec.SettingOIDCTenant, "value": "acme"}}})
	}))
	t.Cleanup(s.Close)
	out, err := run(t, "sso", "show", "--endpoint", s.URL, "--key", "k")
	if err != nil || !slices.ContainsFunc(strings.Split(out, "\n"), func(line string) bool {
		return slices.Equal(strings.Fields(line), []string{"tenant", "acme"})
	}) {
		t.Errorf("shown %q, %v", out, err)
	}
}
