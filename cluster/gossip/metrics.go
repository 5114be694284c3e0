package gossip

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	events  *prometheus.CounterVec
	digests *prometheus.CounterVec
	rejoins *prometheus.CounterVec
	packets *prometheus.CounterVec
}

func newMetrics() *metrics {
	return &metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_gossip_events_total",
			Help: "Changes of members, by event: up, down."}, []string{"event"}),
		digests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_gossip_digests_total",
			Help: "Load digests, by what became of them: sent, failed, received, dropped, stranger, unreadable, unwanted."}, []string{"result"}),
		rejoins: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_gossip_rejoin_attempts_total",
			Help: "Addresses tried to find lost members, by result: ok, failed."}, []string{"result"}),
		packets: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_gossip_packets_total",
			Help: "Datagrams on the cluster port, by direction: in, out."}, []string{"direction"}),
	}
}

func (m *metrics) register(r prometheus.Registerer, t *table, health func() int) {
	if r == nil {
		return
	}
	r.MustRegister(m.events, m.digests, m.rejoins, m.packets,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "lotabots_gossip_members",
			Help: "Living members as this node sees them, itself included."},
			func() float64 { count, _, _ := t.others(); return float64(count + 1) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "lotabots_gossip_health_score",
			Help: "How far this node fails to keep up with probing: 0 is well."},
			func() float64 { return float64(health()) }))
}
