package gateway_test

import (
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/wire"
)

// powersRig has people of different power: boss is owner of the cluster, head
// admin of t1, dev has keys of its own in t1, and stranger is admin of t2.
func powersRig(t *testing.T) *rig {
	r := newRig(t)
	for _, id := range []string{"t1", "t2"} {
		r.state.tenants[id] = &wire.Tenant{Id: id}
	}
	r.state.addUser("boss", "t1", "owner@")
	r.state.addUser("chief", "t1", "admin@")
	r.state.addUser("head", "t1", "admin")
	r.state.addUser("dev", "t1", "developer")
	r.state.addUser("stranger", "t2", "admin")
	r.state.addUser("clerk", "t1", "t1/clerk")
	r.state.roles["t1/clerk"] = &wire.AccessRole{Id: "t1/clerk", Tenant: "t1", Version: 1, Permissions: []*wire.Permission{
		{Verb: "keys.*"}, {Verb: "users.*"}, {Verb: "roles.*"}, {Verb: "infer", Resource: "model:llama-*"}}}
	r.state.addKey("big", "t1", 0, "admin")
	r.tellState()
	return r
}

// TestNobodyGivesWhatTheyLack: no key, role, binding, password or user gives more
// than whoever gives it has.
func TestNobodyGivesWhatTheyLack(t *testing.T) {
	r := powersRig(t)
	tokens := map[string]string{}
	for _, who := range []string{"boss", "chief", "head", "dev", "stranger", "clerk"} {
		tokens[who] = r.enter(who)
	}
	for _, c := range []struct {
		who, method, path, body string
		status                  int
		names                   string // what the refusal names
	}{
		{"head", "POST", "keys", `{"name":"a","scopes":["infer","keys.*","deployments.write"]}`, 201, ""},
		{"head", "POST", "keys", `{"name":"b","scopes":["admin"]}`, 403, "*"},
		{"head", "POST", "keys", `{"name":"c","scopes":["nodes.read"]}`, 403, "nodes.read"},
		{"head", "POST", "keys", `{"name":"d","tenant":"t2"}`, 403, "keys.write on tenant:t2"},
		{"chief", "POST", "keys", `{"name":"e","scopes":["nodes.*"],"tenant":"t2"}`, 201, ""},
		{"chief", "POST", "keys", `{"name":"f","scopes":["admin"]}`, 403, "*"},
		{"boss", "POST", "keys", `{"name":"g","scopes":["admin"]}`, 201, ""},
		{"dev", "POST", "keys", `{"name":"h"}`, 201, ""},
		{"dev", "POST", "keys", `{"name":"i","scopes":["deployments.write"]}`, 403, "deployments.write"},
		{"dev", "POST", "keys", `{"name":"j","owner":"head"}`, 403, "keys.write"},
		{"clerk", "POST", "keys", `{"name":"k","scopes":["infer"]}`, 403, "infer"},
		{"clerk", "POST", "keys", `{"name":"l","scopes":["keys.read"]}`, 201, ""},
		{"clerk", "POST", "keys", `{"name":"m","scopes":["keys.read"],"owner":"nobody"}`, 400, "owner"},
		{"head", "PATCH", "keys/bigxxxx", `{"name":"x"}`, 403, "*"},
		{"head", "POST", "keys/bigxxxx/rotate", ``, 403, "*"},
		{"head", "PATCH", "keys/infxxxx", `{"scopes":["admin"]}`, 403, "*"},
		{"head", "PATCH", "keys/infxxxx", `{"scopes":["deployments.*"]}`, 200, ""},
		{"head", "DELETE", "keys/bigxxxx", ``, 200, ""}, // taking away is no giving

		{"head", "PUT", "deployments/out", `{"tenant":"t1","engine":"external","options":{"url":"http://x"}}`, 403, "engines.external"},
		{"chief", "PUT", "deployments/out", `{"tenant":"t1","engine":"external","options":{"url":"http://x"}}`, 200, ""},
		{"head", "PUT", "deployments/out", `{"tenant":"t1","engine":"external","options":{"url":"http://x"},"replicas":2}`, 200, ""},
		{"head", "PUT", "deployments/out", `{"tenant":"t1","engine":"external","options":{"url":"http://y"}}`, 403, "engines.external"},

		{"head", "POST", "bindings", `{"subject":"user:dev","role":"admin"}`, 201, ""},
		{"head", "POST", "bindings", `{"subject":"user:dev","role":"owner"}`, 403, "*"},
		{"head", "POST", "bindings", `{"subject":"user:head","role":"admin","tenant":""}`, 403, "roles.write on cluster"},
		{"chief", "POST", "bindings", `{"subject":"group:staff","role":"admin","tenant":""}`, 201, ""},
		{"chief", "POST", "bindings", `{"subject":"user:chief","role":"owner","tenant":""}`, 403, "*"},
		{"clerk", "POST", "bindings", `{"subject":"user:clerk","role":"developer"}`, 403, "infer"},
		{"clerk", "POST", "bindings", `{"subject":"user:dev","role":"t1/clerk"}`, 201, ""},
		{"stranger", "POST", "bindings", `{"subject":"user:stranger","role":"t1/clerk","tenant":"t2"}`, 400, "role"},
		{"clerk", "DELETE", "bindings/b-boss-owner@", ``, 404, "binding"},
		{"chief", "DELETE", "bindings/b-boss-owner@", ``, 403, "*"},

		{"clerk", "PUT", "roles/t1%2Fclerk", `{"permissions":["*"]}`, 403, "*"},
		{"clerk", "PUT", "roles/t1%2Fnew", `{"permissions":["keys.read","infer on model:llama-3*"]}`, 200, ""},
		{"clerk", "PUT", "roles/t1%2Fnew2", `{"permissions":["infer on model:*"]}`, 403, "infer on model:*"},
		{"head", "PUT", "roles/wide", `{"permissions":["infer"]}`, 403, "roles.write on role:wide"},
		{"chief", "PUT", "roles/wide", `{"permissions":["owners.write"]}`, 403, "owners.write"},
		{"stranger", "PUT", "roles/t1%2Fclerk", `{"permissions":["infer"]}`, 403, "roles.write"},

		{"head", "PUT", "users/boss/password", `{"password":"now it is my own"}`, 403, "*"},
		{"head", "PATCH", "users/chief", `{"disabled":true}`, 403, ""},
		{"head", "DELETE", "users/boss", ``, 403, "*"},
		{"chief", "PUT", "users/boss/password", `{"password":"now it is my own"}`, 403, "*"},
		{"clerk", "PUT", "users/head/password", `{"password":"now it is my own"}`, 403, ""},
		{"clerk", "PUT", "users/dev/password", `{"password":"now it is my own"}`, 403, ""}, // dev is admin of t1 by now
		{"stranger", "PUT", "users/dev/password", `{"password":"now it is my own"}`, 404, "user"},
		{"head", "POST", "users", `{"name":"new","tenant":""}`, 403, "users.write on cluster"},
		{"head", "POST", "users", `{"name":"new","tenant":"t2"}`, 403, "users.write on tenant:t2"},
		{"boss", "POST", "bindings", `{"subject":"user:chief","role":"owner","tenant":""}`, 201, ""},
	} {
		res, body := r.do(tokens[c.who], c.method, "/admin/v1/"+c.path, c.body)
		if res.StatusCode != c.status || !strings.Contains(body, c.names) {
			t.Errorf("%s %s %s %s: %d %s, want %d naming %q", c.who, c.method, c.path, c.body, res.StatusCode, body, c.status, c.names)
		}
	}
}

// TestAKeyGivesNoMoreThanItMay: not only its scopes bind it.
func TestAKeyGivesNoMoreThanItMay(t *testing.T) {
	r := newRig(t)
	limited := r.state.addKey("lim", "t1", 0, "infer", "keys.*")
	k := r.state.keys["limxxxx"]
	k.Models, k.Regions, k.Endpoints, k.Addresses = []string{"llama-*"}, []string{"north"}, []string{"/v1/*", "/admin/v1/keys*"}, []string{"127.0.0.0/8"}
	r.tellState()
	const within = `"models":["llama-3*"],"regions":["north"],"endpoints":["/v1/embeddings"],"addresses":["127.0.0.1"]`
	for body, status := range map[string]int{
		`{"name":"a",` + within + `}`: 201,
		`{"name":"b"}`:                400,
		`{"name":"c",` + strings.Replace(within, "llama-3*", "*", 1) + `}`:                  400,
		`{"name":"d",` + strings.Replace(within, `["north"]`, `["north","south"]`, 1) + `}`: 400,
		`{"name":"e",` + strings.Replace(within, "/v1/embeddings", "/admin/*", 1) + `}`:     400,
		`{"name":"f",` + strings.Replace(within, "127.0.0.1", "126.0.0.0/7", 1) + `}`:       400,
	} {
		if res, answer := r.do(limited, "POST", "/admin/v1/keys", body); res.StatusCode != status {
			t.Errorf("%s: %d %s, want %d", body, res.StatusCode, answer, status)
		}
	}
	if res, answer := r.do(limited, "POST", "/admin/v1/keys/infxxxx/rotate", ""); res.StatusCode != 400 || !strings.Contains(answer, "llama-*") {
		t.Errorf("rotating a key that may use all models: %d %s", res.StatusCode, answer)
	}
}

// TestAnOwnersKeyIsTheOwners and no more.
func TestAnOwnersKeyIsTheOwners(t *testing.T) {
	r := powersRig(t)
	dev, head := r.enter("dev"), r.enter("head")
	_, body := r.do(dev, "POST", "/admin/v1/keys", `{"name":"mine","scopes":["infer","keys.own"]}`)
	id, text := fieldOf(t, body, "id"), fieldOf(t, body, "key")
	if fieldOf(t, body, "owner") != "dev" {
		t.Errorf("%s", body)
	}
	if _, body := r.do(dev, "GET", "/admin/v1/keys", ""); !strings.Contains(body, id) || strings.Contains(body, "infxxxx") {
		t.Errorf("the owner sees %s", body)
	}
	for _, c := range []struct {
		key, method, path string
		status            int
	}{
		{text, "GET", "keys/" + id, 200}, {text, "GET", "sessions", 403}, {text, "GET", "users/dev", 403}, {dev, "GET", "users/dev", 200},
		{dev, "GET", "keys/infxxxx", 404}, {dev, "POST", "keys/" + id + "/rotate", 200}, {head, "PATCH", "users/dev", 200}, {text, "GET", "keys/" + id, 401},
	} {
		body := ""
		if c.method == "PATCH" {
			body = `{"disabled":true}`
		}
		if res, answer := r.do(c.key, c.method, "/admin/v1/"+c.path, body); res.StatusCode != c.status {
			t.Errorf("%s %s: %d %s, want %d", c.method, c.path, res.StatusCode, answer, c.status)
		}
	}
}

// TestAnOwnPasswordNeedsTheOldOne, so that a stolen access token is not the user.
func TestAnOwnPasswordNeedsTheOldOne(t *testing.T) {
	r := powersRig(t)
	for _, c := range []struct {
		who, body string
		status    int
	}{
		{"dev", `{"password":"a fresh long one"}`, 400}, {"dev", `{"password":"a fresh long one","current":"guessed"}`, 401},
		{"head", `{"password":"a fresh long one"}`, 400},
		{"dev", `{"password":"a fresh long one","current":"correct horse dev"}`, 200},
	} {
		token := r.enter(c.who)
		if res, body := r.do(token, "PUT", "/admin/v1/users/"+c.who+"/password", c.body); res.StatusCode != c.status {
			t.Errorf("%s %s: %d %s, want %d", c.who, c.body, res.StatusCode, body, c.status)
		}
		want := 200
		if c.status == 200 {
			want = 401 // its sessions have ended
		}
		if res, _ := r.do(token, "GET", "/auth/v1/whoami", ""); res.StatusCode != want {
			t.Errorf("the session after it: %d", res.StatusCode)
		}
	}
}
