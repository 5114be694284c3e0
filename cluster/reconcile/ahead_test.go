package reconcile

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/placement"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// TestWhatIsNewlyWantedIsLoadedAhead where memory is free, once for each time that more are wanted.
func TestWhatIsNewlyWantedIsLoadedAhead(t *testing.T) {
	const cold, ready = wire.InstanceState_INSTANCE_STATE_COLD, wire.InstanceState_INSTANCE_STATE_READY
	d := &wire.Deployment{Name: "m", Version: 2, Engine: "embedded", Residency: &wire.Residency{OnDemand: true}}
	w := placement.Wanted{Deployments: []*wire.Deployment{d}}
	o := placement.Observed{Now: time.Unix(1_700_000_000, 0), Alive: map[spec.NodeID]bool{}}
	for i, state := range []wire.InstanceState{ready, cold, cold, cold} {
		node, device, instance := fmt.Sprint("n", i), fmt.Sprint("gpu/n", i), fmt.Sprint("m-", i)
		w.Placements = append(w.Placements, &wire.Placement{Instance: instance, Deployment: "m", Version: 2, Node: node, Device: device, MemoryBytes: 4 * gib, OnDemand: true})
		o.Alive[spec.NodeID(node)] = true
		o.Devices = append(o.Devices, placement.Device{Node: spec.NodeID(node), Load: &wire.DeviceLoad{Device: device, MemoryFree: 8 * gib,
			Instances: []*wire.InstanceLoad{{Instance: instance, Deployment: "m", Version: 2, State: state}}}})
	}
	o.Devices[1].Load.MemoryFree = gib // another's is loaded there
	term := newTerm(New(Config{}))
	asked := func() (out []string) {
		for _, a := range term.ahead(w, o) {
			if m, err := message(w, a); err != nil || !m.(*wire.LoadModel).GetAhead() {
				t.Errorf("%+v becomes %v (%v)", a, m, err)
			}
			out = append(out, string(a.Instance))
		}
		return out
	}
	want := func(what string, ids ...string) {
		t.Helper()
		if got := asked(); !slices.Equal(got, ids) {
			t.Fatalf("%s: to be loaded are %v, want %v", what, got, ids)
		}
	}
	want("nothing rose")
	term.rose(d, 3, o.Now)
	want("three are wanted", "m-2", "m-3")
	want("they have not begun", "m-2", "m-3")
	for _, i := range []int{2, 3} {
		o.Devices[i].Load.Instances[0].State = wire.InstanceState_INSTANCE_STATE_LOADING
	}
	want("they load")
	o.Devices[3].Load.Instances[0].State = cold
	want("one had nothing to do")
	term.rose(d, 4, o.Now)
	o.Devices[3].Load.Draining = true
	want("there is no room")
	o.Devices[1].Load.MemoryFree = 4 * gib
	want("there is some now", "m-1")
	o.Now = o.Now.Add(aheadFor + time.Second)
	want("it has been tried for long")
	d.Residency = nil
	term.rose(d, 4, o.Now)
	want("one that is always loaded")
}
