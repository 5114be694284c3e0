package gateway

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/gateway/balance"
	"github.com/lotabots/lotabots/gateway/fair"
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
