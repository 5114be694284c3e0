package gpu

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/cluster/spec"
)

// deviceMetrics are what devices tell of themselves. A device has those that it tells.
type deviceMetrics struct {
	temperature  *prometheus.GaugeVec
	power        *prometheus.GaugeVec
	memoryUsed   *prometheus.GaugeVec
	memoryOthers *prometheus.GaugeVec
	clock        *prometheus.GaugeVec
	share        *prometheus.GaugeVec
	quarantined  *prometheus.GaugeVec
	ecc          *prometheus.CounterVec
	xids         *prometheus.CounterVec
}

func newDeviceMetrics(r prometheus.Registerer) *deviceMetrics {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "lotabots_device_" + name, Help: help}, []string{"device"})
	}
	counter := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_device_" + name, Help: help}, []string{"device", label})
	}
	m := &deviceMetrics{
		temperature:  gauge("temperature_celsius", "Temperature of the device."),
		power:        gauge("power_watts", "Power that the device draws; of a MIG slice, its GPU's."),
		memoryUsed:   gauge("memory_used_bytes", "Memory of the device in use, by anybody."),
		memoryOthers: gauge("memory_others_bytes", "Memory of the device that processes use which are not this node's engines."),
		clock:        gauge("clock_hertz", "Clock of the GPU's multiprocessors."),
		share:        gauge("share_ratio", "How much of its usual work the device gets, 0 to 1: heat lowers it."),
		quarantined:  gauge("quarantined_bool", "Whether a fault keeps work away from the device until an operator resumes it."),
		ecc:          counter("ecc_errors_total", "Memory errors since the driver was loaded, by kind: corrected, uncorrected.", "kind"),
		xids:         counter("xid_events_total", "Faults that the driver has reported, by class: notice, app_fault, device_fault, gone.", "class"),
	}
	if r != nil {
		r.MustRegister(m.temperature, m.power, m.memoryUsed, m.memoryOthers, m.clock, m.share, m.quarantined, m.ecc, m.xids)
	}
	return m
}

// show sets the gauges to what was read.
func (m *deviceMetrics) show(id spec.DeviceID, r device.Reading) {
	told := func(g *prometheus.GaugeVec, v float64) {
		if v > 0 {
			g.WithLabelValues(string(id)).Set(v)
		} else {
			g.DeleteLabelValues(string(id))
		}
	}
	told(m.temperature, r.TemperatureC)
	told(m.power, r.PowerW)
	told(m.clock, float64(r.ClockMHz)*1e6)
	told(m.share, r.Share)
	m.memoryUsed.WithLabelValues(string(id)).Set(float64(r.MemoryUsed))
	m.memoryOthers.WithLabelValues(string(id)).Set(float64(r.MemoryOthers))
}

// count adds the memory errors that have come since before. The driver's counters begin anew with it.
func (m *deviceMetrics) count(id spec.DeviceID, before, now device.ECC) {
	if !now.Told {
		return
	}
	add := func(kind string, before, now uint64) {
		if now < before {
			before = 0
		}
		m.ecc.WithLabelValues(string(id), kind).Add(float64(now - before))
	}
	add("corrected", before.Corrected, now.Corrected)
	add("uncorrected", before.Uncorrected, now.Uncorrected)
}

func (m *deviceMetrics) happened(id spec.DeviceID, e device.Event) {
	if e.Xid != 0 {
		m.xids.WithLabelValues(string(id), string(e.Kind)).Inc()
	}
}

func (m *deviceMetrics) quarantine(id spec.DeviceID, is bool) {
	v := 0.0
	if is {
		v = 1
	}
	m.quarantined.WithLabelValues(string(id)).Set(v)
}
