package answers

import "github.com/prometheus/client_golang/prometheus"

// A Cause is why an answer is not kept, or not any more.
type Cause uint8

// The causes.
const (
	Outweighed Cause = iota // by what is asked for more often, where the bytes are used up
	TooLarge                // to be kept at all
	Expired
	Outdated // another version of its deployment serves, or none
	Purged
	Replaced // by a newer answer to the same request
	causes
)

var causeNames = [causes]string{"size", "too_large", "ttl", "version", "purge", "replaced"}

// Metrics of all caches of a node.
type Metrics struct {
	hits, misses, joined prometheus.Counter
	behind               prometheus.Counter
	bytes, entries, held prometheus.Gauge
	evicted              [causes]prometheus.Counter
}

// NewMetrics registers them at r; nil: nowhere.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "lotabots_cache_" + name + "_total", Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "lotabots_cache_" + name, Help: help})
	}
	m := &Metrics{
		hits:    counter("hits", "Requests that were answered by a kept answer."),
		misses:  counter("misses", "Requests that might have been, and began an answer of their own."),
		joined:  counter("joined", "Requests that shared the answer of another that was under way."),
		bytes:   gauge("bytes", "Bytes of kept answers, as they are counted against their bound."),
		entries: gauge("entries", "Kept answers."),
		held:    gauge("held_bytes", "Bytes of answers under way that are held for those who share them, against the same bound."),
		behind:  counter("behind", "Requests that fell out of a long answer which they shared, because others were faster."),
	}
	evicted := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_cache_evictions_total",
		Help: "Answers that were not kept, or not any more, by cause: size, too_large, ttl, version, purge, replaced."}, []string{"cause"})
	for i, name := range causeNames {
		m.evicted[i] = evicted.WithLabelValues(name)
	}
	if r != nil {
		r.MustRegister(m.hits, m.misses, m.joined, m.bytes, m.entries, m.held, m.behind, evicted)
	}
	return m
}
