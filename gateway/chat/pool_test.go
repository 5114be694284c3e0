package chat

import (
	"strings"
	"testing"

	"github.com/valyala/fastjson"

	"github.com/lotabots/lotabots/cluster/spec/pool/pooltest"
)

func BenchmarkPool(b *testing.B) {
	body := []byte(`{"model":"m","max_tokens":64,"messages":[{"role":"user","content":"` + strings.Repeat("word ", 100) + `"}]}`)
	pooltest.Compare(b, "chat-parsers", func(pb *testing.PB) {
		for pb.Next() {
			if err := Read(body, func(string, *fastjson.Value) {}, func() {}); err != nil {
				b.Error(err)
			}
		}
	})
}
