package blob

import "github.com/prometheus/client_golang/prometheus"

// Kinds of peers that models' bytes come from and go to.
const (
	PeerNode   = "node"
	PeerClient = "client" // an import
	PeerURL    = "url"    // a pull
)

// Metrics counts what models' transfers move. Nil counts nothing.
type Metrics struct {
	bytes   *prometheus.CounterVec
	damaged *prometheus.CounterVec
}

// NewMetrics registers with r; nil: with nobody.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lotabots_model_transfer_bytes_total", Help: "Bytes of models that were moved, by direction (in, out) and kind of peer (node, client, url).",
		}, []string{"direction", "peer"}),
		damaged: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lotabots_model_damaged_chunks_total", Help: "Chunks of models that did not match their digests, by where (disk, wire).",
		}, []string{"where"}),
	}
	for _, peer := range []string{PeerNode, PeerClient, PeerURL} {
		m.bytes.WithLabelValues("in", peer)
	}
	m.bytes.WithLabelValues("out", PeerNode)
	m.damaged.WithLabelValues("disk")
	m.damaged.WithLabelValues("wire")
	if r != nil {
		r.MustRegister(m.bytes, m.damaged)
	}
	return m
}

// In counts bytes that came from a peer of that kind.
func (m *Metrics) In(peer string, n int) { m.count("in", peer, n) }

func (m *Metrics) out(n int) { m.count("out", PeerNode, n) }

func (m *Metrics) count(direction, peer string, n int) {
	if m != nil {
		m.bytes.WithLabelValues(direction, peer).Add(float64(n))
	}
}

// Damaged counts chunks that were found not to be what their digests say: on this
// node's disk, or as another sent them.
func (m *Metrics) Damaged(where string, n int) {
	if m != nil {
		m.damaged.WithLabelValues(where).Add(float64(n))
	}
}
