package canonical

import (
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec/pool/pooltest"
)

func BenchmarkPool(b *testing.B) {
	body := []byte(`{"model":"m","temperature":0,"messages":[{"role":"user","content":"` + strings.Repeat("word ", 100) + `"}]}`)
	pooltest.Compare(b, "canonical-parsers", func(pb *testing.PB) {
		for pb.Next() {
			if _, err := Of("chat", body); err != nil {
				b.Error(err)
			}
		}
	})
}
