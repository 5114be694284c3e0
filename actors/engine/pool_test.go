package engine

import (
	"testing"

	"github.com/lotabots/lotabots/cluster/spec/pool/pooltest"
)

func BenchmarkPool(b *testing.B) {
	pooltest.Compare(b, "engine-requests", func(pb *testing.PB) {
		for pb.Next() {
			n := nears.Get()
			for _, name := range passed {
				n.set(name, "value")
			}
			n.giveBack()
		}
	})
}
