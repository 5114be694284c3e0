package gateway

import (
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec/pool/pooltest"
	"github.com/lotabots/lotabots/gateway/openai"
)

func BenchmarkPool(b *testing.B) {
	body := []byte(`{"model":"m","stream":true,"messages":[{"role":"user","content":"` + strings.Repeat("word ", 100) + `"}]}`)
	pooltest.Compare(b, "request-checks", func(pb *testing.PB) {
		for pb.Next() {
			check := checks.Get()
			if err := check.Check(openai.Chat, body); err != nil {
				b.Error(err)
			}
			check.Release()
			checks.Put(check)
		}
	})
	pooltest.Compare(b, "request-exchanges", func(pb *testing.PB) {
		for pb.Next() {
			x := inferrings.Get()
			x.matter = matter{}
			inferrings.Put(x)
		}
	})
	const large = 1 << 20
	pooltest.Compare(b, "body-pieces", func(pb *testing.PB) {
		for pb.Next() { // a body that is refused once it is there
			var p pieces
			for p.length < large {
				p.length += len(p.grow())
			}
			p.drop()
		}
	})
}
