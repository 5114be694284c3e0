package gateway

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/gateway/balance"
	"github.com/lotabots/lotabots/gateway/limit"
	"github.com/lotabots/lotabots/gateway/openai"
)

const endpoints = openai.EndpointCount

var seconds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600}

type metrics struct {
	requests  *prometheus.CounterVec
	duration  [endpoints]prometheus.Observer
	first     [endpoints]prometheus.Observer
	active    prometheus.Gauge
	whole     [endpoints]prometheus.Counter // requests that ended well
	limits    [3]prometheus.Counter
	refusals  *prometheus.CounterVec
	prompt    prometheus.Counter
	generated prometheus.Counter
	malformed prometheus.Counter
	expected  prometheus.Counter
	cached    prometheus.Counter
	failed    *prometheus.CounterVec
	held      prometheus.Counter
	nodes     *byNode
	missed    *prometheus.CounterVec
}

// Decisions of limits.
const (
	limitAdmitted = iota
	limitRefused
	limitShared
)

func newMetrics(reg prometheus.Registerer, t *balance.Table, l *limit.Limiter) *metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		reg.MustRegister(c)
		return c
	}
	m := &metrics{
		nodes: newByNode(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_gateway_requests_total",
			Help: "Inference requests that ended, by endpoint and outcome (ok, client_gone, or an error's code)."}, []string{"endpoint", "code"}),
		active: prometheus.NewGauge(prometheus.GaugeOpts{Name: "lotabots_gateway_requests_active",
			Help: "Inference requests under way."}),
		prompt:    counter("lotabots_gateway_prompt_tokens_total", "Prompt tokens of requests whose engine told its usage."),
		generated: counter("lotabots_gateway_completion_tokens_total", "Completion tokens of requests whose engine told its usage."),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_gateway_failed_attempts_total",
			Help: "Credentials that did not fit, by code."}, []string{"code"}),
		missed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_gateway_deadline_misses_total",
			Help: "Requests whose client's deadline passed before their answer was whole, by priority."}, []string{"priority"}),
		held:      counter("lotabots_gateway_held_attempts_total", "Attempts that were refused because too many before had failed."),
		expected:  counter("lotabots_gateway_prefix_expected_tokens_total", "Prompt tokens that engines were expected to hold of earlier requests, where there was a choice of instances and the engine told what it held."),
		cached:    counter("lotabots_gateway_prefix_cached_tokens_total", "Prompt tokens of the same requests that their engines held."),
		malformed: counter("lotabots_gateway_malformed_requests_total", "Requests that could not be read as HTTP."),
	}
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "lotabots_gateway_request_duration_seconds",
		Help: "Time from a request's arrival to the end of its answer.", Buckets: seconds}, []string{"endpoint"})
	first := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "lotabots_gateway_first_byte_seconds",
		Help: "Time from a request's arrival to the first byte of the engine's answer.", Buckets: seconds}, []string{"endpoint"})
	limits := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_gateway_limit_decisions_total",
		Help: "Decisions under limits: admitted, refused, or made by this gateway's share for want of the owner."}, []string{"decision"})
	m.refusals = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_gateway_limit_refusals_total",
		Help: "Requests that a limit has refused, by whose it is (key, tenant, endpoint, deployment), what it counts (requests, tokens, cost) and over what (minute, day, month)."},
		[]string{"scope", "unit", "period"})
	reg.MustRegister(m.requests, m.active, m.failed, duration, first, limits, m.refusals, m.nodes.ended, m.nodes.took, workers{t}, queues{t}, m.missed, limiterState{l},
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "lotabots_host_load_ratio",
			Help: "The machine's load over the last minute, for each of its cores."}, hostLoad),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "lotabots_gateway_queue_requests",
			Help: "Requests that wait for a place."}, func() float64 { return float64(t.Waiting()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "lotabots_gateway_candidates_instances",
			Help: "Instances that this gateway could route to, ready or not."}, func() float64 { return float64(t.Size()) }))
	for _, e := range openai.Endpoints() {
		name := e.String()
		m.duration[e], m.first[e] = duration.WithLabelValues(name), first.WithLabelValues(name)
		m.whole[e] = m.requests.WithLabelValues(name, "ok")
	}
	for i, d := range []string{"admitted", "refused", "shared"} {
		m.limits[i] = limits.WithLabelValues(d)
	}
	return m
}

func (m *metrics) refused(l *limit.Limit) {
	m.refusals.WithLabelValues(l.Scope.String(), l.Unit.String(), l.Per.String()).Inc()
}

func (m *metrics) ended(e openai.Endpoint, code string, took, first time.Duration) {
	if code == "" {
		m.whole[e].Inc()
	} else {
		m.requests.WithLabelValues(e.String(), code).Inc()
	}
	m.duration[e].Observe(took.Seconds())
	if first > 0 {
		m.first[e].Observe(first.Seconds())
	}
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
