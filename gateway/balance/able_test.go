package balance

import (
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// TestAbilitiesAreThoseOfAnyInstance: what one of them may be able to is not refused.
func TestAbilitiesAreThoseOfAnyInstance(t *testing.T) {
	table := NewTable(Config{})
	seq := uint64(0)
	tell := func(loads ...*wire.InstanceLoad) {
		seq++
		for i, l := range loads {
			l.Instance, l.Deployment = string(rune('a'+i)), "d"
		}
		table.Observe(&wire.LoadDigest{Node: "n", Boot: 1, Devices: []*wire.DeviceLoad{{Device: "gpu", Seq: seq, Instances: loads}}}, time.Now())
	}
	check := func(can, cannot spec.Ability, context int) {
		t.Helper()
		if a, c := table.Abilities("d", 0); a.Can != can || a.Cannot != cannot || c != context {
			t.Errorf("can %s, cannot %s, context %d; want %s, %s, %d", a.Can, a.Cannot, c, can, cannot, context)
		}
	}
	check(0, 0, 0)
	tell(&wire.InstanceLoad{Can: uint32(spec.AbleChat), Cannot: uint32(spec.AbleTools | spec.AbleKServe), Context: 100})
	check(spec.AbleChat, spec.AbleTools|spec.AbleKServe, 100)
	tell(&wire.InstanceLoad{Can: uint32(spec.AbleChat), Cannot: uint32(spec.AbleTools | spec.AbleKServe), Context: 100},
		&wire.InstanceLoad{Can: uint32(spec.AbleTools), Cannot: uint32(spec.AbleChat | spec.AbleKServe), Context: 200})
	check(spec.AbleChat|spec.AbleTools, spec.AbleKServe, 200)
	tell(&wire.InstanceLoad{Cannot: uint32(spec.AbleKServe)}, &wire.InstanceLoad{}) // the second is of an older build
	check(0, 0, 0)
	tell()
	check(0, 0, 0)
}
