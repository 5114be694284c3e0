package gpu

import (
	"testing"
	"time"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// TestAdopt: what runs already is held with its memory and its epoch, however full the device is.
func TestAdopt(t *testing.T) {
	table := newTable(device.Device{ID: "gpu/1", MemoryTotal: 1000})
	m := &wire.LoadModel{Instance: "i", Deployment: "d", Version: 2, Epoch: 7, MemoryBytes: 700, OnDemand: true}
	now := time.Unix(1000, 0)
	in, err := table.adopt(m, now)
	if err != nil {
		t.Fatal(err)
	}
	if d := table.snapshot(traceEpoch); d.MemoryFree != 300 || len(d.Instances) != 1 || d.Instances[0].State != wire.InstanceState_INSTANCE_STATE_LOADING || d.Instances[0].Epoch != 7 {
		t.Errorf("told: %v", d)
	}
	if start, stop := table.arrange(now); len(start)+len(stop) != 0 {
		t.Errorf("it is loaded again: %v, %v", start, stop)
	}
	if _, err := table.add(&wire.LoadModel{Instance: "i", Deployment: "d", Version: 2, Epoch: 6}, nil); spec.CodeOf(err) != spec.CodeStaleEpoch {
		t.Errorf("a command of before: %v", err)
	}
	if do, err := table.add(m, nil); err != nil || do.start != nil {
		t.Errorf("the leader's own: %v", err)
	}
	if _, err := table.adopt(m, now); err == nil {
		t.Error("adopted twice")
	}
	if _, err := table.adopt(&wire.LoadModel{Instance: "j"}, now); err == nil {
		t.Error("adopted without a deployment")
	}
	big := &wire.LoadModel{Instance: "big", Deployment: "d", Epoch: 9, MemoryBytes: 900}
	if _, err := table.adopt(big, now); err != nil {
		t.Errorf("it runs, so it is held: %v", err)
	}
	if free := table.free(); free != 0 {
		t.Errorf("%d bytes free", free)
	}
	table.ended(in)
	if free := table.free(); free != 100 {
		t.Errorf("%d bytes free after the end of the first", free)
	}
}

// TestANewerPlacementIsPassedOn to the instance's actor, once.
func TestANewerPlacementIsPassedOn(t *testing.T) {
	tab := newTestTable()
	in := tab.mustAdd(t, model("a", 1, 100))
	before := in.load
	do, err := tab.add(model("a", 4, 100), fine)
	if err != nil || do.placed != in || in.load.GetEpoch() != 4 || in.load == before || before.GetEpoch() != 1 {
		t.Errorf("%+v, %v; its load is of epoch %d, and was of %d", do, err, in.load.GetEpoch(), before.GetEpoch())
	}
	if do, err := tab.add(model("a", 4, 100), fine); err != nil || do.placed != nil {
		t.Errorf("again: %+v, %v", do, err)
	}
}
