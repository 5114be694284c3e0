package gpu

import (
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
)

// clever is an engine that knows what it can.
type clever struct {
	stub
	able spec.Abilities
}

func (c clever) Abilities() spec.Abilities { return c.able }

// TestDigestsTellWhatEnginesCan: as the preset has it at first, and better once one has run.
func TestDigestsTellWhatEnginesCan(t *testing.T) {
	tab := newTestTable()
	tab.abilities = func(preset string, _ map[string]string) spec.Abilities {
		if preset != "embedded" {
			t.Errorf("asked about %q", preset)
		}
		return spec.Abilities{Can: spec.AbleChat | spec.AbleTools, Cannot: spec.AbleKServe}
	}
	in := tab.mustAdd(t, model("a", 1, 1))
	told := func(can, cannot spec.Ability) {
		t.Helper()
		if d := tab.snapshot(traceEpoch).Instances[0]; d.Can != uint32(can) || d.Cannot != uint32(cannot) {
			t.Errorf("can %s, cannot %s; want %s and %s", spec.Ability(d.Can), spec.Ability(d.Cannot), can, cannot)
		}
	}
	told(spec.AbleChat|spec.AbleTools, spec.AbleKServe)
	tab.becomes(in, isReady, stub{slots: 8})
	told(spec.AbleChat|spec.AbleTools, spec.AbleKServe)
	tab.becomes(in, isReady, clever{stub{slots: 8}, spec.Abilities{Can: spec.AbleImages, Cannot: spec.AbleTools}})
	told(spec.AbleChat|spec.AbleImages, spec.AbleKServe|spec.AbleTools)
	tab.becomes(in, restarting, nil)
	told(spec.AbleChat|spec.AbleImages, spec.AbleKServe|spec.AbleTools)
}
