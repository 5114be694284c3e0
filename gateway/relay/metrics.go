package relay

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/gateway/fair"
)

type metrics struct {
	retries    *prometheus.CounterVec
	breaks     *prometheus.CounterVec
	queueWait  [fair.Bands]prometheus.Observer
	pings      prometheus.Counter
	hedges     *prometheus.CounterVec
	fallbacks  *prometheus.CounterVec
	unbudgeted prometheus.Counter
	suspects   prometheus.Counter
	resumes    *prometheus.CounterVec
	gap        prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_gateway_retries_total",
			Help: "Attempts that did not serve their request, by reason."}, []string{"reason"}),
		breaks: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_gateway_stream_breaks_total",
			Help: "Streams that ended with an error event, by reason."}, []string{"reason"}),
		pings: prometheus.NewCounter(prometheus.CounterOpts{Name: "lotabots_gateway_pings_total",
			Help: "Comments sent to keep streams alive before their first byte."}),
		unbudgeted: prometheus.NewCounter(prometheus.CounterOpts{Name: "lotabots_gateway_retries_refused_total",
			Help: "Further attempts, retries and hedges, that were not made because the deployment's budget of them was spent."}),
		suspects: prometheus.NewCounter(prometheus.CounterOpts{Name: "lotabots_gateway_suspect_requests_total",
			Help: "Requests that were not tried again because the engines of two instances had broken off over them."}),
		hedges: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_gateway_hedges_total",
			Help: "Answers that were late, by what came of it: no_room for a second attempt, or which of the two was first."}, []string{"outcome"}),
		fallbacks: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_gateway_fallbacks_total",
			Help: "Requests that were given to deployments' fallbacks, and whether one served them."}, []string{"outcome"}),
		resumes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_relay_resumes_total",
			Help: "Streams that broke off, by reason, and whether another instance went on with them: resumed, failed, or why none was asked."}, []string{"reason", "outcome"}),
		gap: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "lotabots_relay_resume_gap_seconds",
			Help: "Time for which resumed streams stood still.", Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2, 5, 10, 30}}),
	}
	waits := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "lotabots_gateway_queue_wait_seconds",
		Help: "Time that requests waited for a place, those too that got none, by priority.", Buckets: []float64{.0001, .001, .01, .05, .1, .25, .5, 1, 2.5, 5, 10}}, []string{"priority"})
	for i, p := range fair.Priorities() {
		m.queueWait[i] = waits.WithLabelValues(p.String())
	}
	if reg != nil {
		reg.MustRegister(m.resumes, m.gap, m.retries, m.breaks, waits, m.pings, m.unbudgeted, m.suspects, m.hedges, m.fallbacks)
	}
	return m
}
