package node

import (
	"bufio"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/node/client"
)

// TestAccessOverARealNode: a user is made, given a role, logs in, is let in and
// refused by it, and is found in the audit log, whose chain is whole.
func TestAccessOverARealNode(t *testing.T) {
	n := found(t, "n1", "north")
	var user struct{ ID string }
	n.admin("PUT", "/admin/v1/tenants/acme", map[string]any{}, nil)
	n.admin("POST", "/admin/v1/users", map[string]any{"name": "eve", "tenant": "acme", "password": "a long enough one"}, &user)
	n.admin("POST", "/admin/v1/bindings", map[string]any{"subject": "user:" + user.ID, "role": "developer", "tenant": "acme"}, nil)
	api := client.New("", "http://"+n.cfg.API.Listen)
	var granted spec.Granted
	login := map[string]string{"name": "eve", "password": "a long enough one"}
	await(t, 30*time.Second, "the signing keys are made", func() bool {
		return api.Do(t.Context(), "POST", "/auth/v1/login", login, &granted) == nil
	})
	eve := client.New(granted.AccessToken, "http://"+n.cfg.API.Listen)
	var key struct{ ID, Key, Owner string }
	if err := eve.Do(t.Context(), "POST", "/admin/v1/keys", map[string]any{"name": "mine"}, &key); err != nil || key.Owner != user.ID {
		t.Fatalf("a key of one's own: %+v, %v", key, err)
	}
	var refusal *client.APIError
	err := eve.Do(t.Context(), "POST", "/admin/v1/users", map[string]any{"name": "other"}, nil)
	if !errors.As(err, &refusal) || refusal.Status != http.StatusForbidden || !strings.Contains(err.Error(), "users.write on tenant:acme is missing") {
		t.Errorf("more than the role: %v", err)
	}
	if got := n.get("/v1/models", key.Key); got != http.StatusOK {
		t.Errorf("the key: %d", got)
	}
	n.admin("DELETE", "/admin/v1/users/"+user.ID, nil, nil)
	for what, credential := range map[string]string{"key": key.Key, "session": granted.AccessToken} {
		if got := n.get("/v1/models", credential); got != http.StatusUnauthorized {
			t.Errorf("the %s of a user who is gone: %d", what, got)
		}
	}
	var verified struct {
		Whole   bool
		Entries int
	}
	if n.admin("GET", "/admin/v1/audit/verify", nil, &verified); !verified.Whole || verified.Entries < 6 {
		t.Errorf("%+v", verified)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+n.cfg.API.Listen+"/admin/v1/audit", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+n.adminKey())
	r.Header.Set("Accept", "application/x-ndjson")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var log []string
	for in := bufio.NewScanner(answer.Body); in.Scan(); {
		log = append(log, in.Text())
	}
	whole := strings.Join(log, "\n")
	for _, want := range []string{`"action":"users.create"`, `"action":"sessions.create"`, `"actor":"user/` + user.ID + `","from":"127.0.0.1","action":"keys.create"`, `"action":"users.remove"`} {
		if !strings.Contains(whole, want) {
			t.Errorf("no line of %d has %s", len(log), want)
		}
	}
	if strings.Contains(whole, "argon2") || strings.Contains(whole, granted.RefreshToken) || strings.Contains(whole, key.Key) {
		t.Error("a secret is in the audit log")
	}
	if t.Failed() {
		t.Log(whole)
	}
}
