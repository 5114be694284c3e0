package session

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/cluster/spec"
)

type metrics struct {
	requests *prometheus.CounterVec
	hashes   prometheus.Histogram
	keys     *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_session_requests_total",
			Help: "Requests to open or refresh a session, by operation and result: ok, or a code of the catalogue."}, []string{"operation", "result"}),
		hashes: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "lotabots_session_hash_seconds",
			Help: "Time that hashing a password took, without waiting for it.", Buckets: []float64{.05, .1, .2, .4, .8, 1.6, 3.2, 6.4}}),
		keys: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_session_key_changes_total",
			Help: "Changes to sealed secrets of sessions by this node, by kind: create, rotate, expel, reseal, replace, prune."}, []string{"change"}),
	}
	if r != nil {
		r.MustRegister(m.requests, m.hashes, m.keys)
	}
	return m
}

func (m *metrics) answered(operation string, err error) {
	result := "ok"
	if err != nil {
		result = string(spec.CodeOf(err))
	}
	m.requests.WithLabelValues(operation, result).Inc()
}

func (m *metrics) hashed(d time.Duration) { m.hashes.Observe(d.Seconds()) }
