package usage

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/cluster/spec/pool"
)

type metrics struct {
	settled, late, lost, noted prometheus.Counter
	settle                     prometheus.Histogram
	counted, refused, failed   prometheus.Counter
	rows, dropped, looked      prometheus.Counter
}

func newMetrics(r prometheus.Registerer, l *Ledger) *metrics {
	records := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_usage_records_total",
		Help: "Requests written to the usage ledger: settled before their last bytes, noted after, late for a disk that stood still, or lost."}, []string{"way"})
	batches := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_usage_batches_total",
		Help: "Batches of summed-up usage that the state was told: counted, refused, or failed for want of an answer."}, []string{"result"})
	m := &metrics{
		settled: records.WithLabelValues("settled"), late: records.WithLabelValues("late"), lost: records.WithLabelValues("lost"), noted: records.WithLabelValues("noted"),
		settle: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "lotabots_usage_settle_seconds", Help: "Until a request's record was on disk.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1}}),
		counted: batches.WithLabelValues("counted"), refused: batches.WithLabelValues("refused"), failed: batches.WithLabelValues("failed"),
		rows:    prometheus.NewCounter(prometheus.CounterOpts{Name: "lotabots_usage_sums_total", Help: "Sums by the minute that the state was told."}),
		looked:  prometheus.NewCounter(prometheus.CounterOpts{Name: "lotabots_usage_looked_at_records_total", Help: "Records that were looked at for those who ask for single requests."}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{Name: "lotabots_usage_dropped_records_total", Help: "Records that were dropped before the state could be told of them."}),
	}
	if r == nil {
		return m
	}
	r.MustRegister(pool.Collect("usage-batches", pool.Limit|pool.Refused, l.queued), records, batches, m.settle, m.rows, m.dropped, m.looked,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "lotabots_usage_backlog_records", Help: "Records that the state has not been told of."},
			func() float64 { return float64(l.Backlog()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "lotabots_usage_ledger_bytes", Help: "Size of the records that are kept."},
			func() float64 { l.mu.Lock(); defer l.mu.Unlock(); return float64(l.mu.bytes - l.mu.lowest) }))
	return m
}

// queued tells of the records that wait for the disk: a miss is one that was synced for, with all that waited.
func (l *Ledger) queued() pool.Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := pool.Stats{Gets: l.mu.put, Misses: l.mu.batches, Limit: int64(l.cfg.Queue), Refused: l.mu.full}
	if l.mu.queue != nil {
		s.Items = int64(len(l.mu.queue.records))
	}
	return s
}
