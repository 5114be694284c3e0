package placement

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func verdictOf(t *testing.T, e Explanation, device string) Verdict {
	t.Helper()
	for _, v := range e.Verdicts {
		if v.Device == spec.DeviceID(device) {
			return v
		}
	}
	t.Fatalf("nothing is said of %s: %+v", device, e.Verdicts)
	return Verdict{}
}

func TestExplainTellsWhyDevicesRefuse(t *testing.T) {
	s := newSim()
	for _, id := range []string{"ok", "full", "ill", "drained", "dead"} {
		s.node(id, "eu", 16*gib)
	}
	s.node("gone", "eu", 16*gib)
	s.node("far", "us", 16*gib)
	s.node("failed", "eu", 16*gib)
	s.device("gpu/full-0").MemoryFree = 4 * gib
	s.device("gpu/ill-0").Health = "too hot"
	s.w.Nodes[3].State = wire.NodeState_NODE_STATE_DRAINING
	s.o.Alive["dead"] = false
	s.w.Nodes[5].State = wire.NodeState_NODE_STATE_REMOVED
	s.device("gpu/failed-0").Instances = []*wire.InstanceLoad{{Instance: "x", Deployment: "m", Version: 2, State: wire.InstanceState_INSTANCE_STATE_FAILED, Reason: "no such driver"}}
	d := &wire.Deployment{Name: "m", Version: 2, Engine: "embedded", Replicas: 1, MemoryBytes: 8 * gib, Regions: []string{"eu"}}
	e := Explain(s.w, s.o, d, nil)
	for device, text := range map[string]string{
		"gpu/ok-0": "", "gpu/full-0": "5120 MiB short: it has 3072 MiB free beside a head-room of 1024 MiB", "gpu/ill-0": "unhealthy: too hot",
		"gpu/drained-0": "its node is draining", "gpu/dead-0": "its node is dead", "gpu/gone-0": "no worker", "gpu/far-0": `region "us" is not allowed; allowed are eu`,
		"gpu/failed-0": "it failed there, and is tried again after a while: no such driver",
	} {
		v := verdictOf(t, e, device)
		if text == "" && v.Refusal != "" || !strings.Contains(v.Refusal, text) {
			t.Errorf("%s says %q, not %q", device, v.Refusal, text)
		}
		if want := device == "gpu/ok-0"; want != (v.Replicas == 1) {
			t.Errorf("%s would get %d replicas", device, v.Replicas)
		}
	}
	if e.Verdicts[0].Device != "gpu/ok-0" || len(e.Verdicts) != 8 || e.Estimate.Bytes() != 8*gib {
		t.Errorf("%+v", e)
	}
	want(t, "short", verdictOf(t, e, "gpu/full-0").Short, uint64(5*gib))
}

func TestExplainTellsWhoHasTheMemory(t *testing.T) {
	s := newSim()
	s.node("n1", "eu", 24*gib)
	s.deploy("a", 1, 16*gib).Residency = &wire.Residency{OnDemand: true}
	s.run(t, nil)
	s.o.Devices[0].Load.Instances[0].State = wire.InstanceState_INSTANCE_STATE_READY
	s.o.Devices[0].Load.Instances[0].MemoryReserved = 16 * gib
	s.o.Devices[0].Load.MemoryFree = 8 * gib
	d := &wire.Deployment{Name: "b", Version: 1, Engine: "embedded", Replicas: 1, MemoryBytes: 12 * gib, Residency: &wire.Residency{OnDemand: true}}
	v := verdictOf(t, Explain(s.w, s.o, d, nil), "gpu/n1-0")
	if v.Refusal != "" || v.Replicas != 1 || v.Evicts.Bytes != 4*gib || len(v.Evicts.Among) != 1 || v.Evicts.Among[0].Deployment != "a" {
		t.Errorf("%+v", v)
	}
	d.Residency = nil
	v = verdictOf(t, Explain(s.w, s.o, d, nil), "gpu/n1-0")
	if v.Replicas != 0 || !strings.Contains(v.Refusal, "and 16384 MiB for the largest that is loaded on demand there") {
		t.Errorf("%+v", v)
	}
}

// What the devices say fits to what Plan does, and nothing given is changed.
func TestExplainAgreesWithPlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSim()
		for i := range rapid.IntRange(0, 4).Draw(t, "nodes") {
			s.node(fmt.Sprintf("n%d", i), rapid.SampledFrom([]string{"eu", "us"}).Draw(t, "region"), uint64(rapid.IntRange(1, 32).Draw(t, "gib"))*gib)
			dev := s.o.Devices[i].Load
			dev.MemoryFree = rapid.Uint64Range(0, dev.MemoryTotal).Draw(t, "free")
			dev.Health = rapid.SampledFrom([]string{"ok", "ok", "ok", "ill"}).Draw(t, "health")
		}
		d := &wire.Deployment{Name: "m", Version: 1, Engine: "embedded", Replicas: 1, MemoryBytes: rapid.Uint64Range(1, 32*gib).Draw(t, "bytes")}
		if rapid.Bool().Draw(t, "in one region") {
			d.Regions = []string{"eu"}
		}
		before := proto.Clone(d)
		e := Explain(s.w, s.o, d, nil)
		willing, placed := 0, 0
		for i, v := range e.Verdicts {
			placed += v.Replicas
			if v.Refusal == "" {
				willing++
			}
			if v.Replicas > 0 && (v.Refusal != "" || i != 0) {
				t.Fatalf("%+v gets the replica and is %d", v, i)
			}
			if v.Short > 0 && (v.Refusal == "" || v.Free+v.Short != d.MemoryBytes) {
				t.Fatalf("%+v", v)
			}
		}
		if (willing > 0) != (placed == 1) || placed > 1 || len(s.w.Deployments) != 0 || !proto.Equal(before, d) || len(e.Verdicts) != len(s.o.Devices) {
			t.Fatalf("%d of %+v", placed, e.Verdicts)
		}
	})
}

// TestExplainTellsOfRulesAndRoom: what is apart, preferred, there already; and who moves for it.
func TestExplainTellsOfRulesAndRoom(t *testing.T) {
	s := three()
	s.deploy("other", 1, gib).Placing = &wire.Placing{Nodes: []string{"n1"}}
	d := s.deploy("m", 1, gib)
	d.Placing = &wire.Placing{ApartFrom: []string{"other"}, Nodes: []string{"n1", "n2"}, PreferNodes: []string{"n2"}}
	s.run(t, nil)
	e := Explain(s.w, s.o, d, nil)
	for device, text := range map[string]string{"gpu/n1-0": "apart from other, which is on its node", "gpu/n3-0": "not among those that the deployment names"} {
		if got := verdictOf(t, e, device).Refusal; !strings.Contains(got, text) {
			t.Errorf("%s says %q", device, got)
		}
	}
	if v := verdictOf(t, e, "gpu/n2-0"); v.Refusal != "" || v.Standing != "1 of its copies are on the device; its node is preferred; 1 are on the node" {
		t.Errorf("%+v", v)
	}

	s = newSim()
	s.node("n1", "eu", 16*gib)
	s.node("n2", "eu", 16*gib)
	s.deploy("a", 1, 6*gib)
	s.deploy("b", 1, 5*gib)
	s.run(t, nil)
	e = Explain(s.w, s.o, &wire.Deployment{Name: "m", Version: 1, Engine: "embedded", Replicas: 1, MemoryBytes: 12 * gib}, nil)
	if len(e.Actions) != 2 || e.Actions[0].Replaces == "" || e.Actions[0].For != "m" || !strings.Contains(e.Actions[1].Reason, "room is made for it") {
		t.Errorf("%+v", e.Actions)
	}
}
