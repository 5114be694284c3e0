package usage

import (
	"sync"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec/pool/pooltest"
	"github.com/lotabots/lotabots/cluster/wire"
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
	pooltest.Ways(b, "usage-batches", 32, func(pb *testing.PB) {
		for pb.Next() {
			turn.Lock()
			ok := l.commit([]*wire.UsageRecord{request("k")})
			turn.Unlock()
			if !ok {
				b.Error("it is not written")
			}
		}
	}, func(pb *testing.PB) {
		for pb.Next() {
			if err := l.Settle(request("k")); err != nil {
				b.Error(err)
			}
		}
	})
}
