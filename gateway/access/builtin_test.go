package access

import (
	"slices"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
)

// TestBuiltInRolesAreTheStatesOwn: the state machine lets those be bound that
// spec names, and nobody make a role that is called like one.
func TestBuiltInRolesAreTheStatesOwn(t *testing.T) {
	var ids []string
	for _, r := range Roles {
		ids = append(ids, r.ID)
	}
	if !slices.Equal(ids, spec.BuiltInRoles) {
		t.Errorf("the built-in roles are %q here and %q in spec", ids, spec.BuiltInRoles)
	}
}
