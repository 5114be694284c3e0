package gateway_test

import (
	"strings"
	"testing"
)

// TestChangesAreBounded of who has little power: the audit log keeps a number of them.
func TestChangesAreBounded(t *testing.T) {
	r := powersRig(t)
	dev, chief := r.enter("dev"), r.enter("chief")
	if res, body := r.do(chief, "PUT", "/admin/v1/settings/admin%2Fwrites-per-minute", `{"value":"30"}`); res.StatusCode != 200 {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	_, body := r.do(dev, "POST", "/admin/v1/keys", `{"name":"mine","scopes":["infer","keys.own"]}`)
	mine := fieldOf(t, body, "key")
	for i := range 9 {
		if res, body := r.do(dev, "POST", "/admin/v1/keys", `{"name":"k"}`); res.StatusCode != 201 {
			t.Fatalf("change %d: %d %s", i, res.StatusCode, body)
		}
	}
	for what, key := range map[string]string{"the user": dev, "a key of it": mine} {
		res, body := r.do(key, "POST", "/admin/v1/keys", `{"name":"k"}`)
		if res.StatusCode != 429 || codeOf(t, body) != "rate_limit_exceeded" || res.Header.Get("Retry-After") == "" || !strings.Contains(body, "admin/writes-per-minute") {
			t.Errorf("%s: %d %s", what, res.StatusCode, body)
		}
		if res, body := r.do(key, "GET", "/admin/v1/keys", ""); res.StatusCode != 200 {
			t.Errorf("%s reads: %d %s", what, res.StatusCode, body)
		}
	}
	for range 20 {
		if res, body := r.do(chief, "PUT", "/admin/v1/settings/x", `{"value":"1"}`); res.StatusCode != 200 {
			t.Fatalf("who may write in the whole cluster: %d %s", res.StatusCode, body)
		}
	}
	if res, body := r.do(r.enter("head"), "POST", "/admin/v1/keys", `{"name":"k"}`); res.StatusCode != 201 {
		t.Errorf("another: %d %s", res.StatusCode, body)
	}
	if res, _ := r.do(chief, "PUT", "/admin/v1/settings/admin%2Fwrites-per-minute", `{"value":"0"}`); res.StatusCode != 400 {
		t.Errorf("none at all: %d", res.StatusCode)
	}
}

// TestKeysPerOwner counts those in force.
func TestKeysPerOwner(t *testing.T) {
	r := powersRig(t)
	dev, chief := r.enter("dev"), r.enter("chief")
	r.do(chief, "PUT", "/admin/v1/settings/keys%2Fper-owner", `{"value":"3"}`)
	var last string
	for i, want := range []int{201, 201, 201, 400} {
		res, body := r.do(dev, "POST", "/admin/v1/keys", `{"name":"k"}`)
		if res.StatusCode != want || want == 400 && !strings.Contains(body, "keys/per-owner") {
			t.Fatalf("key %d: %d %s", i+1, res.StatusCode, body)
		}
		if want == 201 {
			last = fieldOf(t, body, "id")
		}
	}
	if res, body := r.do(chief, "PATCH", "/admin/v1/keys/infxxxx", `{"owner":"dev"}`); res.StatusCode != 400 {
		t.Errorf("one that is given to it: %d %s", res.StatusCode, body)
	}
	r.do(dev, "DELETE", "/admin/v1/keys/"+last, "")
	if res, body := r.do(dev, "POST", "/admin/v1/keys", `{"name":"k"}`); res.StatusCode != 201 {
		t.Errorf("after one is revoked: %d %s", res.StatusCode, body)
	}
}
