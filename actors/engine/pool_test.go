package engine

import (
	"testing"

	"github.com/lotabots/lotabots/cluster/spec/pool/pooltest"
)

func BenchmarkPool(b *testing.B) {
	w := &web{}
	pooltest.Compare(b, "engine-requests", func(pb *testing.PB) {
		for pb.Next() {
			n := nears.Get()
			w.fields(&Head{Stream: true, RequestID: "id", TraceParent: "00-1"}, n.set)
			n.giveBack()
		}
	})
}
