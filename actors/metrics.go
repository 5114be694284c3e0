package actors

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/actors/engine/hop"
	"github.com/lotabots/lotabots/cluster/spec/pool"
)

type metrics struct {
	restarts  prometheus.Counter
	refused   *prometheus.CounterVec
	requests  *prometheus.CounterVec
	firstByte prometheus.Histogram
	seconds   prometheus.Histogram
	tokens    *prometheus.CounterVec

	// Of the vectors, looked up once.
	ended              map[string]prometheus.Counter // by result
	prompt, completion prometheus.Counter
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
	m.prompt, m.completion = m.tokens.WithLabelValues("prompt"), m.tokens.WithLabelValues("completion")
	m.ended = map[string]prometheus.Counter{}
	for _, result := range []string{resultOK, resultStatus, resultFailed, resultBroken, resultGone} {
		m.ended[result] = m.requests.WithLabelValues(result)
	}
	if r != nil {
		r.MustRegister(m.restarts, m.refused, m.requests, m.firstByte, m.seconds, m.tokens)
		r.MustRegister(connections()...)
	}
	return m
}

// connections tell of those to engines. They are the process's, of whatever engine.
func connections() []prometheus.Collector {
	total := func(name, help string, of func(hop.Counts) uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "lotabots_actor_engine_connections_" + name + "_total", Help: help},
			func() float64 { return float64(of(hop.Count())) })
	}
	return []prometheus.Collector{
		total("dialled", "Connections opened to engines for clients' requests.", func(c hop.Counts) uint64 { return c.Dialled }),
		total("reused", "Clients' requests that went on a connection that had been kept.", func(c hop.Counts) uint64 { return c.Reused }),
		total("stale", "Kept connections that their engine had closed.", func(c hop.Counts) uint64 { return c.Stale }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "lotabots_actor_engine_connections_kept",
			Help: "Connections to engines that wait for their next request."}, func() float64 { return float64(hop.Count().Waiting) }),
		pool.Collect("engine-connections", pool.Idle|pool.Closed, func() pool.Stats {
			c := hop.Count()
			return pool.Stats{Gets: c.Dialled + c.Reused, Misses: c.Dialled, Items: c.Busy + c.Waiting, Idle: c.Waiting, Closed: c.Stale + c.Aged}
		}),
		pool.Collect("engine-connections-tls", 0, engine.Connections),
	}
}
