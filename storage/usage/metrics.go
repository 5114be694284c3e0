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
	full, slow, out            prometheus.Counter
}

func newMetrics(r prometheus.Registerer, l *Ledger) *metrics {
	records := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_usage_records_total",
		Help: "Requests written to the usage ledger: settled before their last bytes, noted after, late for a disk that stood still, or lost."}, []string{"way"})
	batches := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_usage_batches_total",
		Help: "Batches of summed-up usage that the state was told: counted, refused, or failed for want of an answer."}, []string{"result"})
	past := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_usage_past_journal_total",
		Help: "Requests that waited for the disk, for the journal was full, the disk too slow to try, or the journal out of use after a failure."}, []string{"reason"})
	m := &metrics{
		full: past.WithLabelValues("full"), slow: past.WithLabelValues("slow"), out: past.WithLabelValues("failed"),
		settled: records.WithLabelValues("settled"), late: records.WithLabelValues("late"), lost: records.WithLabelValues("lost"), noted: records.WithLabelValues("noted"),
		settle: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "lotabots_usage_settle_seconds", Help: "Until a request's record was in the journal, or on disk.",
			Buckets: []float64{.00001, .00002, .00005, .0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1}}),
		counted: batches.WithLabelValues("counted"), refused: batches.WithLabelValues("refused"), failed: batches.WithLabelValues("failed"),
		rows:    prometheus.NewCounter(prometheus.CounterOpts{Name: "lotabots_usage_sums_total", Help: "Sums by the minute that the state was told."}),
		looked:  prometheus.NewCounter(prometheus.CounterOpts{Name: "lotabots_usage_looked_at_records_total", Help: "Records that were looked at for those who ask for single requests."}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{Name: "lotabots_usage_dropped_records_total", Help: "Records that were dropped before the state could be told of them."}),
	}
	if r == nil {
		return m
	}
	r.MustRegister(pool.Collect("usage-batches", pool.Limit|pool.Refused, l.queued), records, batches, past, m.settle, m.rows, m.dropped, m.looked,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "lotabots_usage_backlog_records", Help: "Records that the state has not been told of."},
			func() float64 { return float64(l.Backlog()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "lotabots_usage_ledger_bytes", Help: "Size of the records that are kept."},
			func() float64 { l.mu.Lock(); defer l.mu.Unlock(); return float64(l.mu.stored - l.mu.lowest) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "lotabots_usage_journal_writes_total", Help: "Writes to the journal."},
			func() float64 { l.mu.Lock(); defer l.mu.Unlock(); return float64(l.mu.writes) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "lotabots_usage_journal_ready", Help: "1 where there is a journal, 0 where each request waits for the disk."}, l.ready))
	return m
}

// queued tells of the records that wait for the disk: a miss is one that was synced for, with all that waited.
func (l *Ledger) queued() pool.Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := pool.Stats{Gets: l.mu.put, Misses: l.mu.batches, Limit: int64(l.cfg.Queue), Refused: l.mu.full}
	s.Items = int64(l.mu.fill.n)
	return s
}

func (l *Ledger) ready() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.journal == nil {
		return 0
	}
	return 1
}
