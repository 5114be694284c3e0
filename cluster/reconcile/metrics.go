package reconcile

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/cluster/placement"
)

type metrics struct {
	actions  *prometheus.CounterVec
	moves    *prometheus.CounterVec
	unplaced prometheus.Gauge
	seconds  prometheus.Histogram
	wanted   *prometheus.GaugeVec
	changes  *prometheus.CounterVec
	canaries *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		actions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_reconcile_actions_total",
			Help: "Placement actions of this leader, by kind and result."}, []string{"action", "result"}),
		moves: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_placement_moves_total",
			Help: "Replicas that this leader gave a place, by why they needed one."}, []string{"cause"}),
		unplaced: prometheus.NewGauge(prometheus.GaugeOpts{Name: "lotabots_reconcile_unplaced_replicas",
			Help: "Reasons for which replicas lacked a place at this leader's last look."}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "lotabots_reconcile_round_seconds",
			Help: "Time that one look took, with the writes that it led to.", Buckets: prometheus.ExponentialBuckets(0.0005, 4, 8)}),
		wanted: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "lotabots_scale_wanted_replicas",
			Help: "Replicas that this leader wants of deployments that are scaled."}, []string{"deployment"}),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_scale_changes_total",
			Help: "Times that this leader has wanted another number of replicas, by deployment, direction (up, down) and reason."},
			[]string{"deployment", "direction", "reason"}),
		canaries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_rollout_canaries_total",
			Help: "Canaries that this leader has judged, by its verdict: promote, give_up."}, []string{"verdict"}),
	}
	for _, cause := range placement.Causes[1:] {
		m.moves.WithLabelValues(cause)
	}
	if r != nil {
		r.MustRegister(m.actions, m.moves, m.unplaced, m.seconds, m.wanted, m.changes, m.canaries)
	}
	return m
}
