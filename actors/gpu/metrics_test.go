package gpu

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/cluster/wire"
)

// TestInstancesAreShownWhileTheyAreThere: sums by deployment, and nothing of one that has left.
func TestInstancesAreShownWhileTheyAreThere(t *testing.T) {
	r := prometheus.NewRegistry()
	m := NewMetrics(r)
	d := &wire.DeviceLoad{Device: "gpu/1", Instances: []*wire.InstanceLoad{
		{Instance: "a-1", Deployment: "a", Slots: 4, Running: 1, KvUse: .25, MemoryReserved: 10},
		{Instance: "a-2", Deployment: "a", Slots: 4, Running: 2, KvUse: .5, MemoryReserved: 10, MemoryMeasured: 7},
		{Instance: "b-1", Deployment: "b", State: wire.InstanceState_INSTANCE_STATE_GONE, Slots: 1},
	}}
	m.showInstances(d, nil, map[string]uint64{"a-1": 8, "a-2": 9, "b-1": 1})
	m.ended("a", "hung")
	m.phased("embedded", "load", time.Second)
	m.released("a", &Release{PromptTokens: 5, CompletionTokens: 3, Prefill: time.Second, Decode: time.Second})
	m.counted("a", 5, 3)
	for name, want := range map[string]float64{
		"lotabots_instance_slots": 8, "lotabots_instance_running": 3, "lotabots_instance_kv_use_ratio": .5,
		"lotabots_instance_memory_predicted_bytes": 17, "lotabots_instance_memory_reserved_bytes": 20, "lotabots_instance_memory_measured_bytes": 7,
		"lotabots_engine_restarts_total": 1, "lotabots_engine_tokens_total": 8,
	} {
		if got := sumOf(t, r, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	d.Instances = d.Instances[2:]
	m.showInstances(d, nil, map[string]uint64{"a-1": 8, "a-2": 9, "b-1": 1})
	if got := sumOf(t, r, "lotabots_instance_slots"); got != 0 {
		t.Errorf("after they have left: %v slots", got)
	}
}

func sumOf(t *testing.T, r *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// TestProgressIsShownWhileSomethingLoads, of several the least.
func TestProgressIsShownWhileSomethingLoads(t *testing.T) {
	r := prometheus.NewRegistry()
	m := newInstanceMetrics(r)
	loading := func(id string, percent uint32) *wire.InstanceLoad {
		return &wire.InstanceLoad{Instance: id, Deployment: "a", State: wire.InstanceState_INSTANCE_STATE_LOADING, Phase: "load", Progress: percent}
	}
	m.showProgress(&wire.DeviceLoad{Device: "d", Instances: []*wire.InstanceLoad{loading("a-1", 75), loading("a-2", 25)}})
	if got := sumOf(t, r, "lotabots_instance_load_progress_ratio"); got != .25 {
		t.Errorf("%g", got)
	}
	m.showProgress(&wire.DeviceLoad{Device: "d", Instances: []*wire.InstanceLoad{{Instance: "a-1", Deployment: "a", State: wire.InstanceState_INSTANCE_STATE_READY}}})
	if got := sumOf(t, r, "lotabots_instance_load_progress_ratio"); got != 0 {
		t.Errorf("%g when nothing loads", got)
	}
}
