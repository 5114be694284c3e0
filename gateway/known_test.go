package gateway

import (
	"slices"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
)

// TestEveryKnownSettingMayBeWritten: who has a new one checked has spec name it.
func TestEveryKnownSettingMayBeWritten(t *testing.T) {
	for name := range known {
		if !slices.Contains(spec.Settings, name) {
			t.Errorf("%s is not among the settings of cluster/spec", name)
		}
	}
}
