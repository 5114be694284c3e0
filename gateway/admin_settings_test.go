package gateway_test

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestTenantsAndSettings(t *testing.T) {
	r := newRig(t)
	for _, s := range []struct {
		path, body string
		status     int
	}{
		{"/admin/v1/tenants/acme", `{"name":"Acme","auth_max_age_seconds":60}`, 200},
		{"/admin/v1/tenants/acme", `{"name":"Acme & Co","auth_max_age_seconds":-1}`, 400},
		{"/admin/v1/tenants/acme", `{"name":"Acme","auth_max_age_seconds":0}`, 200},
		{"/admin/v1/tenants/acme", `{"name":"Acme & Co"}`, 200}, // and stays strict
		{"/admin/v1/tenants/-bad", `{}`, 400},
		{"/admin/v1/tenants/" + strings.Repeat("a", 101), `{}`, 400},
		{"/admin/v1/tenants/acme", `{"name":"` + strings.Repeat("a", 257) + `"}`, 400},
		{"/admin/v1/tenants/acme", `{"auth_max_age_seconds":31536001}`, 400},
		{"/admin/v1/tenants/acme", `{"created_ms":1}`, 400},
		{"/admin/v1/settings/colour", `{"value":""}`, 200},
		{"/admin/v1/settings/cluster%2Fone", `{"value":"taken over"}`, 400},
		{"/admin/v1/settings/raft%2Fvoter", `{"value":"3"}`, 400},
		{"/admin/v1/settings/raft%2Fvoters", `{"value":"3"}`, 200},
		{"/admin/v1/settings/rafts%2Fvoter", `{"value":"3"}`, 200}, // nobody's
		{"/admin/v1/settings/colour", `{"value":"` + strings.Repeat("a", 4097) + `"}`, 400},
		{"/admin/v1/settings/colour", `{"value":7}`, 400},
	} {
		if res, body := r.do(r.admin, "PUT", s.path, s.body); res.StatusCode != s.status {
			t.Errorf("PUT %s %.60s: %d %s", s.path, s.body, res.StatusCode, body)
		}
		if res, _ := r.do(r.infer, "PUT", s.path, s.body); res.StatusCode != 403 {
			t.Errorf("PUT %s without the scope: %d", s.path, res.StatusCode)
		}
	}
	_, body := r.do(r.admin, "GET", "/admin/v1/tenants", "")
	var tenants struct {
		Data []struct {
			ID, Name string
			Age      int64 `json:"auth_max_age_seconds"`
		}
	}
	if err := json.Unmarshal([]byte(body), &tenants); err != nil || len(tenants.Data) != 1 || tenants.Data[0].Name != "Acme & Co" || tenants.Data[0].Age != 0 {
		t.Errorf("%s, %v", body, err)
	}
	if kept := r.state.tenants["acme"].GetAuthMaxAgeS(); kept != -1 {
		t.Errorf("the record of a strict tenant has %d", kept)
	}
	if _, body := r.do(r.admin, "PUT", "/admin/v1/tenants/fresh", `{}`); !strings.Contains(body, `"auth_max_age_seconds":900`) || r.state.tenants["fresh"].GetAuthMaxAgeS() != 0 {
		t.Errorf("a new tenant: %s", body)
	}
	_, body = r.do(r.admin, "GET", "/admin/v1/settings", "")
	if !strings.Contains(body, `{"name":"colour","value":""}`) || strings.Contains(body, "cluster/one") || strings.Contains(body, "taken over") {
		t.Errorf("settings: %s", body)
	}
}

func TestReloadIsAskedOfTheNode(t *testing.T) {
	r := newRig(t)
	res, body := r.do(r.admin, "POST", "/admin/v1/nodes/n1/reload", "")
	if res.StatusCode != 200 || !strings.Contains(body, `"key":"log.level"`) || !strings.Contains(body, `"restart":[]`) {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if res, _ := r.do(r.infer, "POST", "/admin/v1/nodes/n1/reload", ""); res.StatusCode != 403 {
		t.Errorf("without the scope: %d", res.StatusCode)
	}
}
