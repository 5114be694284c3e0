package gpu

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/cluster/wire"
)

// instanceMetrics are those of instances and their engines, by deployment: its
// instances come and go under names that nobody should have to know.
type instanceMetrics struct {
	load             *prometheus.HistogramVec
	restarts         *prometheus.CounterVec
	first            *prometheus.HistogramVec
	token            *prometheus.HistogramVec
	tokens           *prometheus.CounterVec
	adapterLoads     *prometheus.CounterVec
	adapterEvictions *prometheus.CounterVec
	adapters         *prometheus.GaugeVec   // by device, deployment and state
	shown            []*prometheus.GaugeVec // by device and deployment, set anew with each digest
	progress         *prometheus.GaugeVec   // by device, deployment and phase
	running          *prometheus.GaugeVec
	queued           *prometheus.GaugeVec
	slots            *prometheus.GaugeVec
	ceiling          *prometheus.GaugeVec
	resizes          *prometheus.CounterVec
	backlog          *prometheus.GaugeVec
	kvUse            *prometheus.GaugeVec
	predicted        *prometheus.GaugeVec
	reserved         *prometheus.GaugeVec
	measured         *prometheus.GaugeVec
	mu               struct {
		sync.Mutex
		told    map[string]map[string]*wire.InstanceLoad // by device and deployment
		adapted map[string][]string                      // by device: deployments whose adapters are shown
	}
}

func newInstanceMetrics(r prometheus.Registerer) *instanceMetrics {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"device", "deployment"})
	}
	m := &instanceMetrics{
		load: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "lotabots_instance_load_seconds",
			Help:    "How long a phase of starting an instance took, by phase (fetch, launch, load, warm-up) and engine.",
			Buckets: []float64{.01, .05, .1, .5, 1, 5, 10, 30, 60, 120, 300, 600}}, []string{"phase", "engine"}),
		restarts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_engine_restarts_total",
			Help: "Engines that ended unasked, by deployment and cause: crash, start (never served), hung, fault (of the device), unhealthy."}, []string{"deployment", "cause"}),
		first: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "lotabots_engine_first_token_seconds",
			Help:    "From a streamed request to the engine until the first byte of its answer, by deployment.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}}, []string{"deployment"}),
		token: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "lotabots_engine_output_token_seconds",
			Help:    "Mean time per token of a streamed answer after its first, by deployment.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5}}, []string{"deployment"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_engine_tokens_total",
			Help: "Tokens of whole answers, by deployment and kind: prompt, completion."}, []string{"deployment", "kind"}),
		adapterLoads: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_instance_adapter_loads_total",
			Help: "LoRA adapters that requests have had loaded, by deployment, adapter and result: loaded, failed."}, []string{"deployment", "adapter", "result"}),
		adapterEvictions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_instance_adapter_evictions_total",
			Help: "LoRA adapters that were unloaded for others, by deployment and adapter."}, []string{"deployment", "adapter"}),
		adapters: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "lotabots_instance_adapters",
			Help: "LoRA adapters that have been asked for, by device, deployment and state: waiting, loading, loaded, leaving, failed."}, []string{"device", "deployment", "state"}),
		progress: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "lotabots_instance_load_progress_ratio",
			Help: "How far the phase of a load is, 0 to 1, by device, deployment and phase; the least where several load; there while one does."}, []string{"device", "deployment", "phase"}),
		running: gauge("lotabots_instance_running", "Requests that hold a place, by device and deployment."),
		queued:  gauge("lotabots_instance_queued", "Requests that wait inside of engines, by device and deployment."),
		slots:   gauge("lotabots_instance_slots", "Places for requests, by device and deployment."),
		ceiling: gauge("lotabots_instance_slots_ceiling", "Places that the engines could have, by device and deployment."),
		resizes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_instance_slots_changes_total",
			Help: "Changes of the places that an instance has, by deployment and reason: gain (more at a time are served faster, or it is tried), no_gain (fewer are served as fast, or it is tried), restored (what was tried was worse), queue (requests stood inside of the engine), preempted (it has taken memory from some), memory (it ran out of it), machine (it became slow while the machine had too much to do)."}, []string{"deployment", "reason"}),
		backlog:   gauge("lotabots_instance_backlog_seconds", "The longest wait until the prompts admitted have been read, by device and deployment."),
		kvUse:     gauge("lotabots_instance_kv_use_ratio", "The highest use of a KV cache, 0 to 1, by device and deployment."),
		predicted: gauge("lotabots_instance_memory_predicted_bytes", "Device memory that instances were placed with, by device and deployment."),
		reserved:  gauge("lotabots_instance_memory_reserved_bytes", "Device memory reserved for instances, by device and deployment."),
		measured:  gauge("lotabots_instance_memory_measured_bytes", "Device memory that instances were seen to use, by device and deployment; 0: not measured."),
	}
	m.mu.told, m.mu.adapted = map[string]map[string]*wire.InstanceLoad{}, map[string][]string{}
	m.shown = []*prometheus.GaugeVec{m.running, m.queued, m.slots, m.ceiling, m.backlog, m.kvUse, m.predicted, m.reserved, m.measured}
	if r != nil {
		r.MustRegister(m.load, m.restarts, m.first, m.token, m.tokens, m.adapterLoads, m.adapterEvictions, m.adapters, m.progress, m.resizes)
		for _, g := range m.shown {
			r.MustRegister(g)
		}
	}
	return m
}

// phased counts one phase of a start.
func (m *instanceMetrics) phased(engine, phase string, took time.Duration) {
	m.load.WithLabelValues(phase, engine).Observe(took.Seconds())
}

// ended counts an engine that ended unasked.
func (m *Metrics) ended(deployment, cause string) {
	m.crashes.WithLabelValues(deployment).Inc()
	m.restarts.WithLabelValues(deployment, cause).Inc()
}

// released notes the times that a request shows at its end.
func (m *instanceMetrics) released(deployment string, r *Release) {
	if r.Prefill > 0 {
		m.first.WithLabelValues(deployment).Observe(r.Prefill.Seconds())
	}
	if r.Decode > 0 && r.CompletionTokens > 1 {
		m.token.WithLabelValues(deployment).Observe(r.Decode.Seconds() / float64(r.CompletionTokens-1))
	}
}

// counted counts the tokens of requests that have ended.
func (m *instanceMetrics) counted(deployment string, prompt, completion int) {
	m.tokens.WithLabelValues(deployment, "prompt").Add(float64(max(prompt, 0)))
	m.tokens.WithLabelValues(deployment, "completion").Add(float64(max(completion, 0)))
}

// showInstances sets the gauges to what the digest tells, and takes away those of
// deployments that have left the device. hosted have memory alone here; predicted is by instance.
func (m *instanceMetrics) showInstances(d *wire.DeviceLoad, hosted []*wire.InstanceLoad, predicted map[string]uint64) {
	placed := map[string]uint64{}          // by deployment
	now := map[string]*wire.InstanceLoad{} // by deployment: sums, and the worst of backlog and KV use
	for _, i := range slices.Concat(d.Instances, hosted) {
		if i.State == wire.InstanceState_INSTANCE_STATE_GONE {
			continue
		}
		sum := now[i.Deployment]
		if sum == nil {
			sum = &wire.InstanceLoad{}
			now[i.Deployment] = sum
		}
		placed[i.Deployment] += predicted[i.Instance]
		sum.Running, sum.Queued, sum.Slots = sum.Running+i.Running, sum.Queued+i.Queued, sum.Slots+i.Slots
		sum.Ceiling += i.Ceiling
		sum.MemoryReserved, sum.MemoryMeasured = sum.MemoryReserved+i.MemoryReserved, sum.MemoryMeasured+i.MemoryMeasured
		sum.BacklogSeconds, sum.KvUse = max(sum.BacklogSeconds, i.BacklogSeconds), max(sum.KvUse, i.KvUse)
	}
	m.mu.Lock()
	before := m.mu.told[d.Device]
	m.mu.told[d.Device] = now
	m.mu.Unlock()
	for name := range before {
		if now[name] == nil {
			for _, g := range m.shown {
				g.DeleteLabelValues(d.Device, name)
			}
		}
	}
	m.showProgress(d)
	for name, sum := range now {
		set := func(g *prometheus.GaugeVec, v float64) { g.WithLabelValues(d.Device, name).Set(v) }
		set(m.running, float64(sum.Running))
		set(m.queued, float64(sum.Queued))
		set(m.slots, float64(sum.Slots))
		set(m.ceiling, float64(sum.Ceiling))
		set(m.backlog, float64(sum.BacklogSeconds))
		set(m.kvUse, float64(sum.KvUse))
		set(m.predicted, float64(placed[name]))
		set(m.reserved, float64(sum.MemoryReserved))
		set(m.measured, float64(sum.MemoryMeasured))
	}
}

// showProgress sets how far the device's loads are.
func (m *instanceMetrics) showProgress(d *wire.DeviceLoad) {
	least := map[[2]string]uint32{}
	for _, i := range d.Instances {
		if i.Phase == "" || i.State != wire.InstanceState_INSTANCE_STATE_LOADING {
			continue
		}
		key := [2]string{i.Deployment, i.Phase}
		if have, there := least[key]; !there || i.Progress < have {
			least[key] = i.Progress
		}
	}
	m.progress.DeletePartialMatch(prometheus.Labels{"device": d.Device})
	for key, percent := range least {
		m.progress.WithLabelValues(d.Device, key[0], key[1]).Set(float64(percent) / 100)
	}
}

// showAdapters sets the gauges of adapters, for the deployments on the device that
// have some, and takes away those of deployments that have left.
func (m *instanceMetrics) showAdapters(d string, instances []*inst) {
	now := map[string]*[len(adapterLabels)]int{}
	for _, in := range instances {
		if len(in.load.GetAdapters()) == 0 {
			continue
		}
		name := in.load.GetDeployment()
		if now[name] == nil {
			now[name] = new([len(adapterLabels)]int)
		}
		for _, a := range in.adapters {
			now[name][a.state]++
		}
	}
	m.mu.Lock()
	before := m.mu.adapted[d]
	m.mu.adapted[d] = slices.Collect(maps.Keys(now))
	m.mu.Unlock()
	for _, name := range before {
		if now[name] == nil {
			m.adapters.DeletePartialMatch(prometheus.Labels{"device": d, "deployment": name})
		}
	}
	for name, counts := range now {
		for state, n := range counts {
			m.adapters.WithLabelValues(d, name, adapterLabels[state]).Set(float64(n))
		}
	}
}

var adapterLabels = [...]string{adapterWaiting: "waiting", adapterLoading: "loading", adapterLoaded: "loaded", adapterLeaving: "leaving", adapterFailed: "failed"}
