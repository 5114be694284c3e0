package consensus

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

type metrics struct {
	proposals *prometheus.CounterVec
	seconds   prometheus.Histogram
}

func newMetrics(r prometheus.Registerer, c *Consensus) *metrics {
	m := &metrics{
		proposals: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_raft_proposals_total",
			Help: "Writes proposed on this node, by result: ok, refused, no_leader, outcome_unknown or another code."}, []string{"result"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "lotabots_raft_proposal_seconds",
			Help: "Time from a proposal on this node to its answer.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15)}),
	}
	if r == nil {
		return m
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	r.MustRegister(m.proposals, m.seconds,
		gauge("lotabots_raft_term_number", "Present term.", func() float64 { return float64(c.Term()) }),
		gauge("lotabots_raft_commit_index", "Last entry that is known to be agreed.", func() float64 { return float64(c.raft.CommitIndex()) }),
		gauge("lotabots_raft_applied_index", "Last entry that was given to the state machine.", func() float64 { return float64(c.raft.AppliedIndex()) }),
		gauge("lotabots_raft_leader_flag", "1 on the leader.", func() float64 {
			if c.IsLeader() {
				return 1
			}
			return 0
		}),
		gauge("lotabots_raft_voter_count", "Voters of the newest known configuration.", func() float64 { return float64(len(c.voterIDs())) }),
		gauge("lotabots_raft_spare_count", "Servers without a vote of the newest known configuration.", func() float64 { return float64(len(c.servers()) - len(c.voterIDs())) }),
		gauge("lotabots_raft_state_age_seconds", "Time since this node's copy of the state was known to be the newest; -1: never.", func() float64 {
			if age := c.Age(); age != Unknown {
				return age.Seconds()
			}
			return -1
		}),
	)
	return m
}

func (m *metrics) proposed(result *wire.Result, err error, took time.Duration) {
	label := "ok"
	switch {
	case err != nil:
		label = string(spec.CodeOf(err))
	case result.GetCode() != "":
		label = "refused"
	}
	m.proposals.WithLabelValues(label).Inc()
	m.seconds.Observe(took.Seconds())
}
