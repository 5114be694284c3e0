package gateway

import (
	"slices"
	"testing"

	"github.com/lotabots/lotabots/cluster/wire"
)

// TestTenantsLimits: those of all tenants are replaced at once, when the last has been read, and one's at any time.
func TestTenantsLimits(t *testing.T) {
	limited := func(id string, n uint32) *wire.Tenant {
		return &wire.Tenant{Id: id, Limits: &wire.Limits{RequestsPerMinute: n}}
	}
	var l limits
	amount := func(id string) uint64 {
		for _, lim := range l.tenant(id) {
			return lim.Amount
		}
		return 0
	}
	l.putTenant("gone", limited("gone", 7))
	l.putTenant("free", &wire.Tenant{Id: "free"})
	for tn := range l.reading(slices.Values([]*wire.Tenant{limited("a", 1), limited("b", 2), {Id: "free"}})) {
		if amount("gone") != 7 || amount(tn.GetId()) != 0 {
			t.Errorf("while %s is read: %d, %d", tn.GetId(), amount("gone"), amount(tn.GetId()))
		}
	}
	if amount("a") != 1 || amount("b") != 2 || amount("gone") != 0 || amount("free") != 0 {
		t.Errorf("%v", *l.tenants.Load())
	}
	before := l.tenant("b")
	l.putTenant("b", limited("b", 3))
	l.putTenant("a", nil)
	if amount("a") != 0 || amount("b") != 3 || before[0].Amount != 2 {
		t.Errorf("%v", *l.tenants.Load())
	}
}
