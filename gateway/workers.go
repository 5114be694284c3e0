package gateway

import (
	"maps"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/shirou/gopsutil/v4/load"

	"github.com/lotabots/lotabots/gateway/balance"
	"github.com/lotabots/lotabots/gateway/limit"
	"github.com/lotabots/lotabots/gateway/openai"
)

// mostShown bounds the instances, and the queues, that metrics tell of one by one.
const mostShown = 1000

// workers shows the routing table as metrics: what this gateway believes of every
// instance, which is what it routes by.
type workers struct{ table *balance.Table }

var (
	instanceLabels = []string{"instance", "deployment", "node", "device"}

	descActive  = instanceMetric("requests_active", "This gateway's requests under way on the instance.")
	descLoad    = instanceMetric("load_requests", "All requests on the instance, as far as this gateway can tell.")
	descSlots   = instanceMetric("slots", "Requests that the instance takes at a time.")
	descQueued  = instanceMetric("queued_requests", "Requests that wait in the instance's engine, as last told.")
	descCache   = instanceMetric("cache_use_ratio", "Share of the instance's cache that is in use, as last told.")
	descBacklog = instanceMetric("backlog_seconds", "Prompts that the instance has not read yet, in seconds, as last told.")
	descBusy    = instanceMetric("device_utilisation_ratio", "How busy the instance's device is, as last told.")
	descHeard   = instanceMetric("digest_age_seconds", "How long ago the instance was last heard of.")
	descBreaker = instanceMetric("breaker_state", "The instance's circuit breaker: 0 closed, 1 half-open, 2 open.")
	descOpened  = instanceMetric("breaker_opened_total", "How often the instance's circuit breaker has opened.")
	descQueue   = prometheus.NewDesc("lotabots_gateway_deployment_queue_requests", "Requests that wait for a place, by deployment.", []string{"deployment"}, nil)
)

func instanceMetric(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("lotabots_gateway_instance_"+name, help, instanceLabels, nil)
}

// Describe is a prometheus.Collector's.
func (w workers) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descActive, descLoad, descSlots, descQueued, descCache, descBacklog, descBusy, descHeard, descBreaker, descOpened, descQueue} {
		out <- d
	}
}

// Collect is a prometheus.Collector's.
func (w workers) Collect(out chan<- prometheus.Metric) {
	views := w.table.Views()
	for _, v := range views[:min(len(views), mostShown)] {
		gauge := func(d *prometheus.Desc, value float64, kind prometheus.ValueType) {
			out <- prometheus.MustNewConstMetric(d, kind, value, string(v.Target.Instance), v.Deployment, string(v.Node), string(v.Device))
		}
		gauge(descActive, float64(v.Own), prometheus.GaugeValue)
		gauge(descLoad, float64(v.Load), prometheus.GaugeValue)
		gauge(descSlots, float64(v.Slots), prometheus.GaugeValue)
		gauge(descQueued, float64(v.Queued), prometheus.GaugeValue)
		gauge(descCache, v.KVUse, prometheus.GaugeValue)
		gauge(descBacklog, v.Backlog, prometheus.GaugeValue)
		gauge(descBusy, float64(v.Utilisation)/100, prometheus.GaugeValue)
		gauge(descHeard, v.Heard.Seconds(), prometheus.GaugeValue)
		gauge(descBreaker, float64(v.Breaker), prometheus.GaugeValue)
		gauge(descOpened, float64(v.Opened), prometheus.CounterValue)
	}
	shown := 0
	for name, n := range w.table.Queues() {
		if shown++; shown > mostShown {
			return
		}
		out <- prometheus.MustNewConstMetric(descQueue, prometheus.GaugeValue, float64(n), name)
	}
}

// byNode counts how requests ended on each node, for so many nodes one by one.
type byNode struct {
	ended *prometheus.CounterVec
	took  *prometheus.HistogramVec
	known atomic.Pointer[map[string]*nodeCounts] // read without a lock
	mu    sync.Mutex                             // of who adds to known
}

// nodeCounts are one node's counters, found once: looking them up by their labels takes
// longer than counting.
type nodeCounts struct {
	label string
	took  prometheus.Observer
	well  [endpoints]atomic.Pointer[prometheus.Counter] // of requests that ended well, once there is one
}

const mostNodes = 200

func newByNode() *byNode {
	b := &byNode{
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_gateway_worker_requests_total",
			Help: "Inference requests that ended, by the node that served them (other: after the first " + strconv.Itoa(mostNodes) + "), endpoint and outcome."},
			[]string{"node", "endpoint", "code"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "lotabots_gateway_worker_duration_seconds",
			Help: "Time from a request's arrival to the end of its answer, by the node that served it.", Buckets: []float64{.01, .05, .1, .5, 1, 5, 10, 60, 300}}, []string{"node"}),
	}
	b.known.Store(&map[string]*nodeCounts{})
	return b
}

// of are the node's counters, of which there are a bounded number.
func (b *byNode) of(node string) *nodeCounts {
	if n := (*b.known.Load())[node]; n != nil {
		return n
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	known := *b.known.Load()
	if len(known) >= mostNodes && known[node] == nil {
		node = otherNodes
	}
	if n := known[node]; n != nil {
		return n
	}
	n, next := &nodeCounts{label: node, took: b.took.WithLabelValues(node)}, maps.Clone(known)
	next[node] = n
	b.known.Store(&next)
	return n
}

// otherNodes is the label of those that come after mostNodes.
const otherNodes = "other"

// count takes note of a request; nobody served it where node is empty.
func (b *byNode) count(node string, at openai.Endpoint, code string, seconds float64) {
	if node == "" {
		return
	}
	n := b.of(node)
	n.took.Observe(seconds)
	if code != "" {
		b.ended.WithLabelValues(n.label, at.String(), code).Inc()
		return
	}
	well := n.well[at].Load()
	if well == nil {
		c := b.ended.WithLabelValues(n.label, at.String(), "ok")
		well = &c
		n.well[at].Store(well)
	}
	(*well).Inc()
}

// limiterState shows what the limiter holds.
type limiterState struct{ limiter *limit.Limiter }

var (
	descLimits      = prometheus.NewDesc("lotabots_gateway_limiter_limits", "Limits that this gateway holds, by state: held (all), shared (their owner does not answer), spent (their owner refuses more for now).", []string{"state"}, nil)
	descLeased      = prometheus.NewDesc("lotabots_gateway_limiter_leased_requests", "Requests that may be admitted under leases without asking their owners.", nil, nil)
	descLeasedTok   = prometheus.NewDesc("lotabots_gateway_limiter_leased_tokens", "Tokens that may be spent under leases without asking their owners, of limits per minute and budgets.", nil, nil)
	descLimitWaiter = prometheus.NewDesc("lotabots_gateway_limiter_waiting_requests", "Requests that wait for the owner of their limit.", nil, nil)
)

// Describe is a prometheus.Collector's.
func (l limiterState) Describe(out chan<- *prometheus.Desc) {
	out <- descLimits
	out <- descLeased
	out <- descLeasedTok
	out <- descLimitWaiter
}

// Collect is a prometheus.Collector's.
func (l limiterState) Collect(out chan<- prometheus.Metric) {
	s := l.limiter.Stats()
	for state, n := range map[string]int{"held": s.Limits, "shared": s.Shared, "spent": s.Spent} {
		out <- prometheus.MustNewConstMetric(descLimits, prometheus.GaugeValue, float64(n), state)
	}
	out <- prometheus.MustNewConstMetric(descLeased, prometheus.GaugeValue, float64(s.Leased[limit.Requests]))
	out <- prometheus.MustNewConstMetric(descLeasedTok, prometheus.GaugeValue, float64(s.Leased[limit.Tokens]))
	out <- prometheus.MustNewConstMetric(descLimitWaiter, prometheus.GaugeValue, float64(s.Waiting))
}

// hostLoad is the machine's load over one minute for each of its cores; 0 where it
// cannot be told.
func hostLoad() float64 {
	avg, err := load.Avg()
	if err != nil {
		return 0
	}
	return avg.Load1 / float64(runtime.NumCPU())
}
