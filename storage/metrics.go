package storage

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// collector reads the database's counts when it is scraped.
type collector struct{ db *DB }

func describe(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("lotabots_storage_"+name, help, nil, nil)
}

var (
	diskBytes     = describe("disk_bytes", "Bytes that the database takes on disk.")
	memtableSize  = describe("memtable_bytes", "Bytes in the database's memtables.")
	walBytes      = describe("wal_written_bytes_total", "Bytes written to the database's write-ahead log.")
	syncSeconds   = describe("wal_sync_seconds", "Time that syncs of the write-ahead log took.")
	flushes       = describe("flushes_total", "Memtables written out.")
	compactions   = describe("compactions_total", "Compactions done.")
	compactDebt   = describe("compaction_debt_bytes", "Bytes that wait to be compacted, estimated.")
	readAmp       = describe("read_amplification_levels", "Sorted runs that a read may have to look at.")
	slowOps       = describe("slow_disk_operations_total", "Operations on the disk that took too long.")
	stalls        = describe("write_stalls_total", "Times that writes had to wait for flushes or compactions.")
	lateWrites    = describe("late_writes_total", "Synced writes that took longer than the disk is given.")
	stalledGauge  = describe("stalled", "1 while the disk does not answer and writes are refused.")
	failedGauge   = describe("failed", "1 once a write has failed: no more are taken until the node is started anew.")
	storageFaults = describe("faults_total", "Errors in the background, and damage found.")
)

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{diskBytes, memtableSize, walBytes, syncSeconds, flushes, compactions, compactDebt, readAmp, slowOps, stalls, storageFaults, lateWrites, stalledGauge, failedGauge} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. A closed database tells nothing.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	c.db.open.RLock()
	defer c.db.open.RUnlock()
	if c.db.open.closed {
		return
	}
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	counter := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v)
	}
	health := c.db.Health()
	gauge(stalledGauge, truth(errors.Is(health, ErrStalled)))
	gauge(failedGauge, truth(errors.Is(health, ErrFailed)))
	counter(lateWrites, float64(c.db.guard.late.Load()))
	counter(slowOps, float64(c.db.events.slow.Load()))
	counter(stalls, float64(c.db.events.stalls.Load()))
	counter(storageFaults, float64(c.db.events.faults.Load()))
	if health != nil {
		return // Pebble may hold what its counts need until the disk answers
	}
	m := c.db.pebble.Metrics()
	gauge(diskBytes, float64(m.DiskSpaceUsage()))
	gauge(memtableSize, float64(m.MemTable.Size))
	gauge(compactDebt, float64(m.Compact.EstimatedDebt))
	gauge(readAmp, float64(m.ReadAmp()))
	counter(walBytes, float64(m.WAL.BytesWritten))
	counter(flushes, float64(m.Flush.Count))
	counter(compactions, float64(m.Compact.Count))
	if h := inSeconds(m.LogWriter.FsyncLatency); h != nil {
		ch <- h
	}
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// inSeconds is Pebble's histogram, which counts nanoseconds in a hundred
// buckets, as seconds in every tenth of them.
func inSeconds(h prometheus.Histogram) prometheus.Metric {
	if h == nil {
		return nil
	}
	var read dto.Metric
	if err := h.Write(&read); err != nil || read.Histogram == nil {
		return nil
	}
	buckets := map[float64]uint64{}
	for i, b := range read.Histogram.Bucket {
		if i%10 == 9 {
			buckets[b.GetUpperBound()/1e9] = b.GetCumulativeCount()
		}
	}
	return prometheus.MustNewConstHistogram(syncSeconds, read.Histogram.GetSampleCount(), read.Histogram.GetSampleSum()/1e9, buckets)
}
