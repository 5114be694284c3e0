package pool

import (
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Stats are what a pool tells of itself. Those ever counted begin at 0 with the process, or with the pool.
type Stats struct {
	Gets    uint64 // something was taken
	Misses  uint64 // of them: there was none that could be used again
	Items   int64  // there are now, in use or not, in the pool's own unit
	Idle    int64  // of them: wait to be used
	Limit   int64  // the most that there may be
	Waits   uint64 // it had to be waited for
	Waited  time.Duration
	Refused uint64 // there was no room
	Closed  uint64 // given up while they waited, for their age or because the other side had
}

// Parts are what a pool can tell beside Gets, Misses and Items.
type Parts uint8

// The parts.
const (
	Idle Parts = 1 << iota
	Limit
	Waits
	Refused
	Closed
)

// A metric is one of a pool's.
type metric struct {
	part  Parts // 0: each pool has it
	name  string
	help  string
	kind  prometheus.ValueType
	value func(Stats) float64
}

var metrics = []metric{
	{0, "gets_total", "Times that something was taken from the pool.", prometheus.CounterValue, func(s Stats) float64 { return float64(s.Gets) }},
	{0, "misses_total", "Times of them that nothing in the pool could be used again, so that it was made.", prometheus.CounterValue, func(s Stats) float64 { return float64(s.Misses) }},
	{0, "items", "What there is of the pool's now, in use or not.", prometheus.GaugeValue, func(s Stats) float64 { return float64(s.Items) }},
	{Idle, "idle_items", "What of the pool's waits to be used.", prometheus.GaugeValue, func(s Stats) float64 { return float64(s.Idle) }},
	{Limit, "limit_items", "The most that the pool may have.", prometheus.GaugeValue, func(s Stats) float64 { return float64(s.Limit) }},
	{Waits, "waits_total", "Times that the pool had to be waited for.", prometheus.CounterValue, func(s Stats) float64 { return float64(s.Waits) }},
	{Waits, "wait_seconds_total", "For how long the pool was waited for.", prometheus.CounterValue, func(s Stats) float64 { return s.Waited.Seconds() }},
	{Refused, "refused_total", "Times that the pool had no room.", prometheus.CounterValue, func(s Stats) float64 { return float64(s.Refused) }},
	{Closed, "closed_total", "What waited in the pool and was given up, for its age or by the other side.", prometheus.CounterValue, func(s Stats) float64 { return float64(s.Closed) }},
}

type collector struct {
	parts Parts
	read  func() Stats
	descs []*prometheus.Desc // as metrics; nil: not of this pool
}

// Collect shows a pool that counts for itself, by the metrics lotabots_pool_* with its name as their label. read is called by
// any goroutine.
func Collect(name string, parts Parts, read func() Stats) prometheus.Collector {
	c := &collector{parts: parts, read: read, descs: make([]*prometheus.Desc, len(metrics))}
	for i, m := range metrics {
		if m.part&parts == m.part {
			c.descs[i] = prometheus.NewDesc("lotabots_pool_"+m.name, m.help, nil, prometheus.Labels{"pool": name})
		}
	}
	return c
}

// Collectors show the Pools of this process.
func Collectors() []prometheus.Collector {
	all.Lock()
	defer all.Unlock()
	var out []prometheus.Collector
	for _, name := range slices.Sorted(maps.Keys(all.by)) {
		out = append(out, Collect(name, 0, all.by[name].stats))
	}
	return out
}

// Describe is a prometheus.Collector's.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		if d != nil {
			out <- d
		}
	}
}

// Collect is a prometheus.Collector's.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.read()
	for i, d := range c.descs {
		if d != nil {
			out <- prometheus.MustNewConstMetric(d, metrics[i].kind, metrics[i].value(s))
		}
	}
}
