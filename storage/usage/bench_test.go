package usage

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage"
)

// computed is the processors' time that the process has had.
func computed() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // of this process it cannot fail
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// served is a record as gateways make them, the nth.
func served(n int) *wire.UsageRecord {
	return &wire.UsageRecord{Request: fmt.Sprintf("req_%026x", n*7919), AtMs: day + int64(n)/14, Tenant: "acme", User: "someone@acme.example", Key: fmt.Sprintf("key_%012x", n%5),
		Deployment: "llama-3.1-8b", Version: 3, Endpoint: "/v1/chat/completions", Region: "eu-central", Node: "node-0f3a", Prompt: 412, Cached: 256, Completion: uint64(n % 300),
		GpuMs: 1830, Outcome: spec.UsageOK, Attempts: 1, DurationMs: 1834, FirstByteMs: 61}
}

// BenchmarkLife is of all that a ledger does for a record: it is settled, written to Pebble and told of, and goes when there
// is no room for it any more (`-benchtime 700000x`).
func BenchmarkLife(b *testing.B) {
	c := newCluster(b)
	defer c.db.Close()
	db, err := storage.Open(b.TempDir(), storage.Options{})
	try(b, err)
	l, err := Open(db, Config{Gateway: "n1", Propose: c.propose, Journal: JournalBytes, Every: time.Second, Bytes: 60 << 20})
	try(b, err)
	l.Start()
	began, before, n := time.Now(), computed(), 0
	b.ReportAllocs()
	for b.Loop() {
		r := served(n)
		r.AtMs = time.Now().UnixMilli()
		try(b, l.Settle(r))
		if n++; n%70 == 0 {
			time.Sleep(time.Until(began.Add(time.Duration(n) * time.Second / 28_000)))
		}
	}
	try(b, l.Shutdown(context.Background()))
	b.ReportMetric(float64(computed()-before)/float64(b.N), "cpu-ns/op")
	tables := db.Pebble().Metrics().Total()
	b.ReportMetric(float64(tables.TableBytesCompacted)/float64(b.N), "compacted-B/op")
	try(b, db.Close())
}

// BenchmarkTell is of what it costs to sum up a record that is on disk.
func BenchmarkTell(b *testing.B) {
	c := newCluster(b)
	defer c.db.Close()
	const n = 20_000
	l, db := c.openIn(b, storage.Memory(), func(cfg *Config) { cfg.Journal = 0 })
	for i := range n {
		l.Note(served(i))
	}
	l.flush(b.Context())
	b.ReportAllocs()
	for b.Loop() {
		cmd, err := l.batch()
		try(b, err)
		if cmd.GetThrough() != n {
			b.Fatalf("%d records are told", cmd.GetThrough())
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/record")
	end(b, l, db)
}

// BenchmarkEncode is of what a record's encoding costs.
func BenchmarkEncode(b *testing.B) {
	r, dst := served(7), make([]byte, 0, usualFrame)
	b.ReportAllocs()
	for b.Loop() {
		dst = encode(dst[:0], r)
	}
}
