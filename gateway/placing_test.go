package gateway_test

import (
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/wire"
)

// TestRulesOfPlacingAreWritten, and refused where they make no sense.
func TestRulesOfPlacingAreWritten(t *testing.T) {
	r := newRig(t)
	put := func(fields string) (int, string) {
		res, body := r.do(r.admin, "PUT", "/admin/v1/deployments/x", `{"engine":"external"`+fields+`}`)
		return res.StatusCode, body
	}
	if s, body := put(`,"placing":"pack","apart_from":["x","y"],"nodes":["n1"],"prefer_nodes":["n2"]`); s != 200 ||
		!strings.Contains(body, `"placing":"pack","apart_from":["x","y"],"nodes":["n1"],"prefer_nodes":["n2"]`) {
		t.Errorf("%d %s", s, body)
	}
	if p := r.state.last.GetPutDeployment().GetDeployment().GetPlacing(); wire.LevelOf(r.state.last) != 5 || !p.GetPack() || len(p.GetApartFrom()) != 2 {
		t.Errorf("written %v", p)
	}
	if s, body := put(``); s != 200 || !strings.Contains(body, `"placing":"spread","apart_from":[]`) || r.state.last.GetPutDeployment().GetDeployment().Placing != nil {
		t.Errorf("%d %s", s, body)
	}
	for _, bad := range []string{`"placing":"heap"`, `"nodes":["a","a"]`, `"apart_from":["no good"]`, `"prefer_nodes":[""]`} {
		if s, body := put(`,` + bad); s != 400 || !strings.Contains(body, strings.Split(bad, `"`)[1]) {
			t.Errorf("%s: %d %s", bad, s, body)
		}
	}
}
