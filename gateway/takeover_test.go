package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
)

// TestABoundKeyIsNotTakenOver: what is bound to a key is had by whoever has its
// text, or takes the owner from it that bounds it.
func TestABoundKeyIsNotTakenOver(t *testing.T) {
	r := powersRig(t)
	r.state.addKey("bnd", "t1", 0, "infer")
	r.state.addKey("own", "t1", 0, "infer")
	r.state.keys["ownxxxx"].Owner = "dev"
	r.state.bindings["b1"] = &wire.Binding{Id: "b1", Subject: "key:bndxxxx", Role: "owner"}
	r.state.bindings["b2"] = &wire.Binding{Id: "b2", Subject: "key:ownxxxx", Role: "admin"}
	r.tellState()
	head, boss := r.enter("head"), r.enter("boss")
	for _, c := range []struct {
		key, method, path, body string
		status                  int
	}{
		{head, "POST", "keys/bndxxxx/rotate", ``, 403}, {head, "PATCH", "keys/bndxxxx", `{"name":"mine"}`, 403},
		{head, "POST", "keys/ownxxxx/rotate", ``, 403}, {head, "PATCH", "keys/ownxxxx", `{"owner":""}`, 403}, {head, "PATCH", "keys/ownxxxx", `{"owner":"head"}`, 403},
		{boss, "POST", "keys/bndxxxx/rotate", ``, 200}, {boss, "PATCH", "keys/ownxxxx", `{"owner":""}`, 200}, {head, "DELETE", "keys/bndxxxx", ``, 200},
	} {
		if res, body := r.do(c.key, c.method, "/admin/v1/"+c.path, c.body); res.StatusCode != c.status || c.status == 403 && !strings.Contains(body, "change or rotate a key") {
			t.Errorf("%s %s %s: %d %s, want %d", c.method, c.path, c.body, res.StatusCode, body, c.status)
		}
	}
}

// TestAKeyLastsNoLongerByItself, and gives no other key more time or requests.
func TestAKeyLastsNoLongerByItself(t *testing.T) {
	r := powersRig(t)
	brief := r.state.addKey("bri", "t1", 60, "infer", "keys.own")
	k := r.state.keys["brixxxx"]
	k.Owner, k.ExpiresMs = "dev", time.Now().Add(time.Hour).UnixMilli()
	r.tellState()
	for _, c := range []struct {
		method, path, body string
		status             int
		names              string
	}{
		{"PATCH", "keys/brixxxx", `{"ttl_seconds":0}`, 400, "ttl_seconds"}, {"PATCH", "keys/brixxxx", `{"ttl_seconds":7200}`, 400, "ttl_seconds"},
		{"PATCH", "keys/brixxxx", `{"requests_per_minute":0}`, 400, "requests_per_minute"}, {"PATCH", "keys/brixxxx", `{"requests_per_minute":61}`, 400, "limited to 60"},
		{"POST", "keys", `{"name":"a","requests_per_minute":60}`, 400, "ttl_seconds"}, {"POST", "keys", `{"name":"a","ttl_seconds":60}`, 400, "requests_per_minute"},
		{"POST", "keys", `{"name":"a","ttl_seconds":600,"requests_per_minute":60}`, 201, ""}, {"PATCH", "keys/brixxxx", `{"ttl_seconds":600,"requests_per_minute":30}`, 200, ""},
	} {
		if res, body := r.do(brief, c.method, "/admin/v1/"+c.path, c.body); res.StatusCode != c.status || !strings.Contains(body, c.names) {
			t.Errorf("%s %s %s: %d %s, want %d naming %q", c.method, c.path, c.body, res.StatusCode, body, c.status, c.names)
		}
	}
	if res, body := r.do(r.enter("dev"), "PATCH", "/admin/v1/keys/brixxxx", `{"ttl_seconds":0,"requests_per_minute":0}`); res.StatusCode != 200 {
		t.Errorf("the owner's session: %d %s", res.StatusCode, body)
	}
}

// TestAConfinedKeyStaysConfined: it makes nobody who is not.
func TestAConfinedKeyStaysConfined(t *testing.T) {
	for name, confine := range map[string]func(*wire.APIKey){
		"models": func(k *wire.APIKey) { k.Models = []string{"m"} }, "regions": func(k *wire.APIKey) { k.Regions = []string{"north"} },
		"endpoints": func(k *wire.APIKey) { k.Endpoints = []string{"/admin/*"} }, "addresses": func(k *wire.APIKey) { k.Addresses = []string{"127.0.0.1/32"} },
	} {
		r := powersRig(t)
		key := r.state.addKey("con", "t1", 0, "admin")
		confine(r.state.keys["conxxxx"])
		r.tellState()
		for _, c := range [][3]string{
			{"POST", "users", `{"name":"new"}`}, {"PUT", "users/dev/password", `{"password":"now it is my own"}`},
			{"POST", "bindings", `{"subject":"user:dev","role":"viewer"}`}, {"PUT", "roles/t1%2Fnew", `{"permissions":["infer"]}`},
		} {
			if res, body := r.do(key, c[0], "/admin/v1/"+c[1], c[2]); res.StatusCode != 403 || !strings.Contains(body, "would not be limited") {
				t.Errorf("by %s: %v: %d %s", name, c, res.StatusCode, body)
			}
			if res, body := r.do(r.admin, c[0], "/admin/v1/"+c[1], c[2]); res.StatusCode >= 300 {
				t.Errorf("by a key that is not: %v: %d %s", c, res.StatusCode, body)
			}
		}
	}
}

// TestTheIDOfAWriteHidesSecrets: others read it, and would guess at them.
func TestTheIDOfAWriteHidesSecrets(t *testing.T) {
	for _, c := range [][2]string{
		{"PUT /admin/v1/users/u1/password", `{"password":"%s long enough"}`}, {"POST /admin/v1/users", `{"name":"n","password":"%s long enough"}`},
		{"PUT /admin/v1/secrets/oidc-client", `{"value":"%s"}`},
	} {
		method, path, _ := strings.Cut(c[0], " ")
		var ids []string
		for _, secret := range []string{"one", "other"} {
			r := newRig(t)
			if res, body := r.do(r.admin, method, path, fmt.Sprintf(c[1], secret), gateway.HeaderIdempotency, "k1"); res.StatusCode >= 300 {
				t.Fatalf("%v: %d %s", c, res.StatusCode, body)
			}
			id, _, _ := strings.Cut(r.state.last.RequestId, "/2")
			ids = append(ids, id)
		}
		if ids[0] != ids[1] {
			t.Errorf("%v: the id tells the bodies apart: %q", c, ids)
		}
	}
	r := newRig(t)
	if _, body := r.do(r.admin, "POST", "/admin/v1/users", `{"name":"a","password":"long enough it is"}`, gateway.HeaderIdempotency, "k1"); fieldOf(t, body, "name") != "a" {
		t.Errorf("%s", body)
	}
	if _, body := r.do(r.admin, "POST", "/admin/v1/users", `{"name":"b","password":"long enough it is"}`, gateway.HeaderIdempotency, "k1"); fieldOf(t, body, "name") != "b" {
		t.Errorf("what is no secret tells writes apart: %s", body)
	}
}

// TestLoggingOutTwiceByOneIdempotencyKey ends both sessions.
func TestLoggingOutTwiceByOneIdempotencyKey(t *testing.T) {
	for _, body := range []string{"", `{"everywhere":true}`} {
		r := newRig(t)
		for range 2 {
			token := r.enter("u1")
			if res, answer := r.do(token, "POST", "/auth/v1/logout", body, gateway.HeaderIdempotency, "k1"); res.StatusCode != 200 {
				t.Fatalf("%d %s", res.StatusCode, answer)
			}
			if res, answer := r.do(token, "GET", "/auth/v1/whoami", ""); res.StatusCode != 401 {
				t.Errorf("after logging out by %q: %d %s", body, res.StatusCode, answer)
			}
		}
	}
}

// TestSessionsOfTheStrongerAreNotEnded, but one's own are.
func TestSessionsOfTheStrongerAreNotEnded(t *testing.T) {
	r := powersRig(t)
	head, theirs := r.enter("head"), r.doors.open("chief", "127.0.0.1").Session
	mine, devs := r.doors.open("head", "127.0.0.1").Session, r.doors.open("dev", "127.0.0.1").Session
	for _, c := range []struct {
		path   string
		status int
	}{{"users/chief/sessions", 403}, {"sessions/" + theirs, 403}, {"sessions/" + devs, 200}, {"users/dev/sessions", 200}, {"sessions/" + mine, 200}, {"users/head/sessions", 200}} {
		if res, body := r.do(head, "DELETE", "/admin/v1/"+c.path, ""); res.StatusCode != c.status {
			t.Errorf("%s: %d %s, want %d", c.path, res.StatusCode, body, c.status)
		}
	}
}

// TestAPasswordThatIsNotSetOpensNothing: neither a weak one, nor one that cannot be written.
func TestAPasswordThatIsNotSetOpensNothing(t *testing.T) {
	r := powersRig(t)
	token := r.enter("dev")
	if res, body := r.do(token, "PUT", "/admin/v1/users/dev/password", `{"password":"weak","current":"correct horse dev"}`); res.StatusCode != 400 {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if n := len(r.state.sessions); n != 1 {
		t.Errorf("%d sessions after a password that is too weak", n)
	}
	r.state.refuse = func(c *wire.Command) spec.Code {
		if c.GetPutUser() != nil {
			return spec.CodeConflict
		}
		return ""
	}
	if res, body := r.do(token, "PUT", "/admin/v1/users/dev/password", `{"password":"long enough it is","current":"correct horse dev"}`); res.StatusCode != 409 {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	for id, s := range r.state.sessions {
		if id != "s1" && s.RevokedMs == 0 {
			t.Errorf("session %s is open", id)
		}
	}
}

// TestClosingIsTrueAfterATenantIsMadeStrict: who was cut off before goes by the age
// that was in force then.
func TestClosingIsTrueAfterATenantIsMadeStrict(t *testing.T) {
	r := newRig(t, func(c *gateway.Config) {
		c.Applied = func(context.Context, uint64) []spec.NodeID { return []spec.NodeID{"n3"} }
	})
	closes := func(path string) time.Duration {
		t.Helper()
		var out struct {
			Closing []struct {
				Closes int64 `json:"closes_ms"`
			}
		}
		_, body := r.do(r.admin, "DELETE", path, "")
		if err := json.Unmarshal([]byte(body), &out); err != nil || len(out.Closing) != 1 {
			t.Fatalf("%s, %v", body, err)
		}
		return time.Until(time.UnixMilli(out.Closing[0].Closes)).Round(10 * time.Second)
	}
	tenant := func(seconds int) {
		t.Helper()
		if res, body := r.do(r.admin, "PUT", "/admin/v1/tenants/t1", fmt.Sprintf(`{"auth_max_age_seconds":%d}`, seconds)); res.StatusCode != 200 {
			t.Fatalf("%d %s", res.StatusCode, body)
		}
	}
	for _, step := range []struct {
		seconds int
		want    time.Duration
	}{{3600, time.Hour}, {0, time.Hour}, {60, time.Hour}, {7200, 2 * time.Hour}} {
		tenant(step.seconds)
		if got := closes("/admin/v1/keys/infxxxx"); got != step.want {
			t.Errorf("with %d s: it closes after %v, want %v", step.seconds, got, step.want)
		}
	}
	if got := closes("/admin/v1/users/u1"); got != 2*time.Hour {
		t.Errorf("of any tenant: %v", got)
	}
}

// TestChangingAKeyTellsWhoLags: it may have taken access away.
func TestChangingAKeyTellsWhoLags(t *testing.T) {
	r := newRig(t, func(c *gateway.Config) {
		c.Applied = func(context.Context, uint64) []spec.NodeID { return []spec.NodeID{"n3"} }
	})
	for _, c := range [][3]string{{"PATCH", "keys/infxxxx", `{"models":["m"]}`}, {"POST", "keys/infxxxx/rotate", `{"overlap_seconds":0}`}} {
		if res, body := r.do(r.admin, c[0], "/admin/v1/"+c[1], c[2]); res.StatusCode != 200 || !strings.Contains(body, `"lagging":["n3"]`) || !strings.Contains(body, `"closing":[{"node":"n3","closes_ms":`) {
			t.Errorf("%v: %d %s", c, res.StatusCode, body)
		}
	}
}
