package batch

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics tell what is put together.
type Metrics struct {
	size    prometheus.Histogram
	inputs  prometheus.Histogram
	tokens  prometheus.Histogram
	wait    prometheus.Histogram
	calls   prometheus.Counter
	divided prometheus.Counter
	left    prometheus.Counter
}

// NewMetrics registers them; with a nil r nobody sees them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	powers := prometheus.ExponentialBuckets(1, 2, 12)
	m := &Metrics{
		size: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "lotabots_batch_size",
			Help: "Requests that went to their engine together.", Buckets: powers}),
		inputs: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "lotabots_batch_inputs",
			Help: "Inputs of the requests that went together.", Buckets: powers}),
		tokens: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "lotabots_batch_tokens",
			Help: "Tokens of the requests that went together, as their gateways estimated them.", Buckets: prometheus.ExponentialBuckets(8, 2, 14)}),
		wait: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "lotabots_batch_wait_seconds",
			Help:    "From a request's coming to the instance until it went to the engine with others or alone.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}}),
		calls: prometheus.NewCounter(prometheus.CounterOpts{Name: "lotabots_batch_calls_total",
			Help: "Calls to engines for requests that may go together, those of divided ones included."}),
		divided: prometheus.NewCounter(prometheus.CounterOpts{Name: "lotabots_batch_divided_total",
			Help: "Calls that their engine refused, and that were divided to find whose fault it was."}),
		left: prometheus.NewCounter(prometheus.CounterOpts{Name: "lotabots_batch_left_total",
			Help: "Requests whose caller left, or whose deadline passed, before their answer."}),
	}
	if r != nil {
		r.MustRegister(m.size, m.inputs, m.tokens, m.wait, m.calls, m.divided, m.left)
	}
	return m
}

// served counts what went together, and was begun so long ago.
func (m *Metrics) served(callers []*caller, took time.Duration) {
	begun := time.Now().Add(-took)
	tokens := 0
	for _, c := range callers {
		tokens += c.tokens
		m.wait.Observe(max(begun.Sub(c.came).Seconds(), 0))
	}
	m.size.Observe(float64(len(callers)))
	m.inputs.Observe(float64(inputsOf(callers)))
	m.tokens.Observe(float64(tokens))
}
