package gateway

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/gateway/balance"
	"github.com/lotabots/lotabots/gateway/fair"
	"github.com/lotabots/lotabots/gateway/strain"
)

// queues shows as metrics who waits for a place, and who was refused one.
type queues struct{ table *balance.Table }

var (
	descWaiting = prometheus.NewDesc("lotabots_gateway_waiting_requests", "Requests that wait for a place, by priority.", []string{"priority"}, nil)
	descShed    = prometheus.NewDesc("lotabots_gateway_shed_requests_total",
		"Requests that were refused for want of room, by priority and cause: bound (as many waited as may), wait (they would have waited longer than they may), deadline (beyond their own), timeout (they had waited as long as they may).",
		[]string{"priority", "cause"}, nil)
)

// Describe is a prometheus.Collector's.
func (q queues) Describe(out chan<- *prometheus.Desc) {
	out <- descWaiting
	out <- descShed
}

// Collect is a prometheus.Collector's.
func (q queues) Collect(out chan<- prometheus.Metric) {
	now := q.table.Queueing()
	for i, p := range fair.Priorities() {
		out <- prometheus.MustNewConstMetric(descWaiting, prometheus.GaugeValue, float64(now.Waiting[i]), p.String())
		for cause, n := range now.Shed[i] {
			out <- prometheus.MustNewConstMetric(descShed, prometheus.CounterValue, float64(n), p.String(), cause)
		}
	}
}

// strained shows what the gateway itself has to do, and whom it has refused for it.
type strained struct{ watch *strain.Watch }

var (
	descSched      = prometheus.NewDesc("lotabots_gateway_scheduler_wait_seconds", "Time that nine of ten goroutines waited to run in the last 0.1 s, at most; 0: few ran.", nil, nil)
	descCPU        = prometheus.NewDesc("lotabots_gateway_processor_use_ratio", "Share of the processors that the process may use which it used in the last 0.1 s.", nil, nil)
	descTakes      = prometheus.NewDesc("lotabots_gateway_overload_limit_requests_per_second", "Inference requests that are taken while the gateway has more to do than it can; 0: all.", nil, nil)
	descOverloaded = prometheus.NewDesc("lotabots_gateway_overload_refused_requests_total", "Inference requests that were refused unread because the gateway had more to do than it could, by priority.", []string{"priority"}, nil)
)

// Describe is a prometheus.Collector's.
func (s strained) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descSched, descCPU, descTakes, descOverloaded} {
		out <- d
	}
}

// Collect is a prometheus.Collector's.
func (s strained) Collect(out chan<- prometheus.Metric) {
	now := s.watch.State()
	out <- prometheus.MustNewConstMetric(descSched, prometheus.GaugeValue, now.Latency.Seconds())
	out <- prometheus.MustNewConstMetric(descCPU, prometheus.GaugeValue, now.CPU)
	out <- prometheus.MustNewConstMetric(descTakes, prometheus.GaugeValue, now.Limit)
	for i, p := range fair.Priorities() {
		out <- prometheus.MustNewConstMetric(descOverloaded, prometheus.CounterValue, float64(now.Refused[i]), p.String())
	}
}
