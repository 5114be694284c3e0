package actors

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	restarts  prometheus.Counter
	refused   *prometheus.CounterVec
	requests  *prometheus.CounterVec
	firstByte prometheus.Histogram
	seconds   prometheus.Histogram
	tokens    *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	buckets := []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}
	m := &metrics{
		restarts: prometheus.NewCounter(prometheus.CounterOpts{Name: "lotabots_actor_restarts_total",
			Help: "Actors restarted after a panic."}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_actor_refused_messages_total",
			Help: "Messages and calls of other nodes that were refused, by reason."}, []string{"reason"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_actor_requests_total",
			Help: "Requests to engines, by result: ok, status (of 400 or more), failed (no answer), broken, gone (given up by the caller)."}, []string{"result"}),
		firstByte: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "lotabots_actor_engine_first_byte_seconds",
			Help: "From the request to the engine until the first byte of its answer.", Buckets: buckets}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "lotabots_actor_engine_request_seconds",
			Help: "From the request to the engine until the end of its answer.", Buckets: buckets}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_actor_tokens_total",
			Help: "Tokens that engines said they have read or written, by kind: prompt, completion."}, []string{"kind"}),
	}
	if r != nil {
		r.MustRegister(m.restarts, m.refused, m.requests, m.firstByte, m.seconds, m.tokens)
	}
	return m
}
