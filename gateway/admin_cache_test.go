package gateway_test

import (
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
)

func TestPurgesAreWrittenForAllNodes(t *testing.T) {
	r := newRig(t)
	res, body := r.do(r.admin, "POST", "/admin/v1/cache/purge", `{"deployment":"m","tenant":"acme","key":"`+strings.Repeat("ab", 32)+`"}`)
	if res.StatusCode != 200 || !strings.Contains(body, `"lagging":[]`) {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	value, _ := r.state.Setting(spec.SettingCachePurge)
	p, sum, ok := spec.ParseCachePurge(value)
	if !ok || p.Deployment != "m" || p.Tenant != "acme" || sum == nil || sum[31] != 0xab || p.Request == "" {
		t.Errorf("written: %s", value)
	}
	for _, bad := range []string{`{}`, `{"all":true,"tenant":"t"}`, `{"key":"12"}`, `{"key":"` + strings.Repeat("xy", 32) + `"}`, `{"deployment":"-"}`} {
		if res, body := r.do(r.admin, "POST", "/admin/v1/cache/purge", bad); res.StatusCode != 400 {
			t.Errorf("%s: %d %s", bad, res.StatusCode, body)
		}
	}
	if res, _ := r.do(r.infer, "POST", "/admin/v1/cache/purge", `{"all":true}`); res.StatusCode != 403 {
		t.Errorf("a key for inference: %d", res.StatusCode)
	}
	if res, body := r.do(r.admin, "PUT", "/admin/v1/settings/cache%2Flast-purge", `{"value":"{\"key\":\"1\"}"}`); res.StatusCode != 400 {
		t.Errorf("by the settings: %d %s", res.StatusCode, body)
	}
}
