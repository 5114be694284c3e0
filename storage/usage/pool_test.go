package usage

import (
	"sync"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec/pool/pooltest"
	"github.com/lotabots/lotabots/storage"
)

// BenchmarkPool is of requests that end at the same time, on this machine's own disk: each with a sync of its own, and as
// many by one as have come.
func BenchmarkPool(b *testing.B) {
	c := newCluster(b)
	defer c.db.Close()
	db, err := storage.Open(b.TempDir(), storage.Options{})
	try(b, err)
	l, err := Open(db, Config{Gateway: "n1", Propose: c.propose})
	try(b, err)
	l.writer.Go(l.write)
	defer func() { end(b, l, db) }()
	var turn sync.Mutex
	settle := func() {
		if err := l.Settle(request("k")); err != nil {
			b.Error(err)
		}
	}
	pooltest.Ways(b, "usage-batches", 32, func(pb *testing.PB) {
		for pb.Next() {
			turn.Lock()
			settle()
			turn.Unlock()
		}
	}, func(pb *testing.PB) {
		for pb.Next() {
			settle()
		}
	})
}

// BenchmarkJournal is of requests that end one after the other, and at the same time.
func BenchmarkJournal(b *testing.B) {
	c := newCluster(b)
	defer c.db.Close()
	db, err := storage.Open(b.TempDir(), storage.Options{})
	try(b, err)
	l, err := Open(db, Config{Gateway: "n1", Propose: c.propose, Journal: JournalBytes})
	try(b, err)
	l.writer.Go(l.write)
	defer func() { end(b, l, db) }()
	r := served(7)
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			try(b, l.Settle(r))
		}
	})
	b.Run("many", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			r := served(7)
			for pb.Next() {
				if err := l.Settle(r); err != nil {
					b.Error(err)
				}
			}
		})
	})
}
