package infer

import "github.com/prometheus/client_golang/prometheus"

type serverMetrics struct {
	requests *prometheus.CounterVec
	running  prometheus.Gauge
}

func newServerMetrics(r prometheus.Registerer) *serverMetrics {
	m := &serverMetrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_infer_served_requests_total",
			Help: "Requests served for gateways of other nodes, by result: ok, rejected, error, broken, gone."}, []string{"result"}),
		running: prometheus.NewGauge(prometheus.GaugeOpts{Name: "lotabots_infer_running_requests",
			Help: "Requests of other nodes' gateways under way."}),
	}
	if r != nil {
		r.MustRegister(m.requests, m.running)
	}
	return m
}
