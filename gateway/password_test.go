package gateway_test

import (
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// TestAPasswordEndsSessionsInTheSameWrite, and says whose password it was.
func TestAPasswordEndsSessionsInTheSameWrite(t *testing.T) {
	r := powersRig(t)
	dev, other := r.enter("dev"), r.enter("head")
	before := r.state.Index()
	if res, body := r.do(r.admin, "PUT", "/admin/v1/users/dev/password", `{"password":"a fresh long one"}`); res.StatusCode != 200 || !strings.Contains(body, `"revoked":true`) {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	put := r.state.last.GetPutUser()
	if r.state.Index() != before+1 || put.GetEndSessions() != "password changed" || put.GetUser().GetPassword() != "a fresh long one" {
		t.Errorf("%d writes, the last %v", r.state.Index()-before, r.state.last)
	}
	for token, want := range map[string]int{dev: 401, other: 200} {
		if res, body := r.do(token, "GET", "/auth/v1/whoami", ""); res.StatusCode != want {
			t.Errorf("%d %s, want %d", res.StatusCode, body, want)
		}
	}
}

// TestAChangeOfAUserEndsNoSession.
func TestAChangeOfAUserEndsNoSession(t *testing.T) {
	r := powersRig(t)
	dev := r.enter("dev")
	if res, body := r.do(r.admin, "PATCH", "/admin/v1/users/dev", `{"display":"D."}`); res.StatusCode != 200 {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	if res, body := r.do(dev, "GET", "/auth/v1/whoami", ""); res.StatusCode != 200 || r.state.last.GetPutUser().GetEndSessions() != "" {
		t.Errorf("%d %s after %v", res.StatusCode, body, r.state.last)
	}
}

// TestAPasswordThatIsNotSetLeavesNoSession: what proved the password in force is ended
// whatever the caller has lost meanwhile.
func TestAPasswordThatIsNotSetLeavesNoSession(t *testing.T) {
	r := powersRig(t)
	dev := r.enter("dev")
	r.state.refuse = func(c *wire.Command) spec.Code {
		switch {
		case c.GetPutUser() != nil:
			return spec.CodeConflict
		case c.GetRevokeSession() != nil && c.GetSeen() != 0:
			return spec.CodeStaleState
		}
		return ""
	}
	res, body := r.do(dev, "PUT", "/admin/v1/users/dev/password", `{"password":"a fresh long one","current":"correct horse dev"}`)
	if res.StatusCode != 409 {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	for id, want := range map[string]bool{"s1": true, "s2": false} { // s2 is of this request
		if s, ok := r.state.Session(id); !ok || (s.GetRevokedMs() == 0) != want {
			t.Errorf("session %s: %v", id, s)
		}
	}
}
