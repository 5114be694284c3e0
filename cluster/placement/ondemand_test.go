package placement

import (
	"slices"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// TestOnDemandSharesADevice: more models than fit at once are placed, and what is
// always loaded leaves room for the largest of them.
func TestOnDemandSharesADevice(t *testing.T) {
	s := newSim()
	s.node("n1", "eu", 24*gib)
	for _, name := range []string{"a", "b", "c"} {
		s.deploy(name, 1, 10*gib).Residency = &wire.Residency{OnDemand: true}
	}
	s.run(t, nil)
	want(t, "placed on demand", s.on()["n1"], 3)
	s.deploy("always", 1, 12*gib)
	s.run(t, nil)
	want(t, "placed beside an always loaded one", s.on()["n1"], 4)
	s.deploy("one too many", 1, 1*gib)
	s.run(t, nil)
	want(t, "no room is left for the largest", s.on()["n1"], 4)
}

// TestOnDemandSpreads over devices by how much is promised there.
func TestOnDemandSpreads(t *testing.T) {
	s := newSim()
	s.node("n1", "eu", 24*gib, 24*gib, 48*gib)
	for _, name := range []string{"a", "b", "c", "d"} {
		s.deploy(name, 1, 10*gib).Residency = &wire.Residency{OnDemand: true}
	}
	s.run(t, nil)
	on := map[string]int{}
	for _, p := range s.w.Placements {
		on[p.Device]++
	}
	want(t, "by device", []int{on["gpu/n1-0"], on["gpu/n1-1"], on["gpu/n1-2"]}, []int{1, 1, 2})
}

// TestSpreadOverLinkedDevices: several devices of one node, those that reach each other fastest.
func TestSpreadOverLinkedDevices(t *testing.T) {
	s := newSim()
	s.node("n1", "eu", 24*gib, 24*gib, 24*gib, 24*gib)
	s.node("n2", "eu", 24*gib)
	s.device("gpu/n1-1").Links = []string{"gpu/n1-3"}
	s.device("gpu/n1-3").Links = []string{"gpu/n1-1"}
	s.deploy("big", 1, 20*gib).Gpus = 2
	s.run(t, nil)
	p := s.w.Placements[0]
	pair := append([]string{p.Device}, p.Devices...)
	slices.Sort(pair)
	want(t, "devices", pair, []string{"gpu/n1-1", "gpu/n1-3"})
	for _, id := range pair {
		want(t, "free on "+id, s.device(spec.DeviceID(id)).MemoryFree, 4*gib)
	}
	s.deploy("wide", 1, 1*gib).Gpus = 5
	s.run(t, nil)
	if got := s.plan(); len(got) != 1 || got[0].Reason != "no node has 5 devices to spread it over" {
		t.Errorf("%+v", got)
	}
	lost := p.Devices[0]
	s.device(spec.DeviceID(lost)).Health = "lost"
	s.o.Down[spec.DeviceID(p.Device)] = s.o.Now.Add(-s.w.DeadGrace)
	s.run(t, nil)
	for _, p := range s.w.Placements {
		if p.Device == lost || slices.Contains(p.Devices, lost) {
			t.Errorf("it is still spread over the lost device: %v", p)
		}
	}
	want(t, "placements", len(s.w.Placements), 1)
}
