package transport

import (
	"sync"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec/pool/pooltest"
)

// BenchmarkPool is of requests one after the other, on a connection that stands and on one of each's own.
func BenchmarkPool(b *testing.B) {
	w := newWorld(b)
	to, from := w.port("a"), w.port("b")
	to.Handle("infer", say("infer"))
	pl := from.Client("infer").Transport.(*links)
	var turn sync.Mutex
	ask := func(pb *testing.PB, then func()) {
		for pb.Next() {
			turn.Lock()
			if _, err := get(from, "infer", "a", "/"); err != nil {
				b.Error(err)
			}
			then()
			turn.Unlock()
		}
	}
	pooltest.Ways(b, "node-connections-infer", 1, func(pb *testing.PB) {
		ask(pb, func() {
			pl.mu.Lock()
			defer pl.mu.Unlock()
			for _, c := range pl.mu.lanes["a"].conns {
				c.under.kill()
			}
		})
	}, func(pb *testing.PB) { ask(pb, func() {}) })
}
