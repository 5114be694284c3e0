package transport

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	handshakes  *prometheus.CounterVec
	connections *prometheus.GaugeVec
}

// Results of a handshake.
const (
	handshakeOK         = "ok"
	handshakeFailed     = "failed"     // no TLS, no certificate of the cluster, not let in, or too slow
	handshakeOverloaded = "overloaded" // closed unheard: too many at a time
)

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		handshakes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_transport_handshakes_total",
			Help: "Incoming connections of the cluster port, by result: ok, failed, overloaded."}, []string{"result"}),
		connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "lotabots_transport_standing_connections",
			Help: "Connections of the cluster port that stand, by protocol and direction; spliced ones are not counted."}, []string{"proto", "direction"}),
	}
	if r != nil {
		r.MustRegister(m.handshakes, m.connections)
	}
	return m
}
