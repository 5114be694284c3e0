package gpu

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// Metrics are those of all device actors of a node.
type Metrics struct {
	admissions  *prometheus.CounterVec
	grants      *prometheus.CounterVec
	commands    *prometheus.CounterVec
	leases      *prometheus.GaugeVec
	instances   *prometheus.GaugeVec
	crashes     *prometheus.CounterVec
	evictions   *prometheus.CounterVec
	memoryTotal *prometheus.GaugeVec
	memoryFree  *prometheus.GaugeVec
	utilisation *prometheus.GaugeVec
	healthy     *prometheus.GaugeVec
	device      *deviceMetrics
	*instanceMetrics
}

// NewMetrics registers the metrics with r; nil: with nobody.
func NewMetrics(r prometheus.Registerer) *Metrics {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{
		admissions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_actor_admissions_total",
			Help: "Requests that asked for a place, by device and result: admitted, or the reason of the rejection."}, []string{"device", "result"}),
		grants: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_actor_grants_total",
			Help: "Places that were kept for a gateway's waiting requests, by device and result: granted, and of those expired."}, []string{"device", "result"}),
		commands: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_actor_commands_total",
			Help: "Commands to devices, by kind and the code of their answer."}, []string{"kind", "code"}),
		crashes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_actor_engine_crashes_total",
			Help: "Engines that ended unasked or did not start, by deployment."}, []string{"deployment"}),
		evictions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_actor_evictions_total",
			Help: "Instances that were unloaded though they are placed, by device and cause: memory (for another), idle."}, []string{"device", "cause"}),
		leases:      gauge("lotabots_actor_leases", "Requests that hold a place, by device.", "device"),
		instances:   gauge("lotabots_actor_instances", "Instances, by device and state.", "device", "state"),
		memoryTotal: gauge("lotabots_device_memory_total_bytes", "Memory of the device.", "device"),
		memoryFree:  gauge("lotabots_device_memory_free_bytes", "Memory of the device that no instance has reserved and nobody else uses.", "device"),
		utilisation: gauge("lotabots_device_utilisation_ratio", "How busy the device is, 0 to 1.", "device"),
		healthy:     gauge("lotabots_device_healthy_bool", "Whether the device reads healthy.", "device"),
		device:      newDeviceMetrics(r),
	}
	m.instanceMetrics = newInstanceMetrics(r)
	if r != nil {
		r.MustRegister(m.admissions, m.grants, m.commands, m.crashes, m.evictions, m.leases, m.instances, m.memoryTotal, m.memoryFree, m.utilisation, m.healthy)
	}
	return m
}

// admitted counts requests that were let in.
func (m *Metrics) admitted(device spec.DeviceID, n int) {
	if n > 0 {
		m.admissions.WithLabelValues(string(device), "admitted").Add(float64(n))
	}
}

// show sets the gauges to what the digest tells, and to the memory that is held for
// instances of other devices.
func (m *Metrics) show(d *wire.DeviceLoad, hosted []*wire.InstanceLoad, leases int, predicted map[string]uint64) {
	set := func(g *prometheus.GaugeVec, v float64) { g.WithLabelValues(d.Device).Set(v) }
	set(m.leases, float64(leases))
	set(m.memoryTotal, float64(d.MemoryTotal))
	set(m.memoryFree, float64(d.MemoryFree))
	set(m.utilisation, float64(d.Utilisation)/100)
	healthy := 0.0
	if d.Health == "ok" {
		healthy = 1
	}
	set(m.healthy, healthy)
	m.showInstances(d, hosted, predicted)
	count := map[wire.InstanceState]int{}
	for _, i := range d.Instances {
		count[i.State]++
	}
	for state, label := range stateLabels {
		m.instances.WithLabelValues(d.Device, label).Set(float64(count[state]))
	}
}

var stateLabels = map[wire.InstanceState]string{
	wire.InstanceState_INSTANCE_STATE_LOADING:    "loading",
	wire.InstanceState_INSTANCE_STATE_READY:      "ready",
	wire.InstanceState_INSTANCE_STATE_DRAINING:   "draining",
	wire.InstanceState_INSTANCE_STATE_FAILED:     "failed",
	wire.InstanceState_INSTANCE_STATE_RESTARTING: "restarting",
	wire.InstanceState_INSTANCE_STATE_COLD:       "cold",
}
