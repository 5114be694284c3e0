package coding

import (
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec/pool/pooltest"
)

func BenchmarkPool(b *testing.B) {
	answer := []byte(strings.Repeat(`{"id":"chatcmpl-1","object":"chat.completion","choices":[{"index":0}]}`, 60))
	pooltest.Compare(b, "gzip-writers", func(pb *testing.PB) {
		var out []byte
		for pb.Next() {
			out = Compress(out[:0], Gzip, answer)
		}
	})
}
