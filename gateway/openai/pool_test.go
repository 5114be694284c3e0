package openai

import (
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec/pool/pooltest"
	"github.com/lotabots/lotabots/gateway/prefix"
)

func BenchmarkPool(b *testing.B) {
	body := []byte(`{"model":"m","stream":true,"temperature":0.7,"messages":[{"role":"system","content":"You are helpful."},{"role":"user","content":"` + strings.Repeat("word ", 100) + `"}]}`)
	pooltest.Compare(b, "request-parsers", func(pb *testing.PB) {
		var r Request
		for pb.Next() {
			if err := r.Check(Chat, body); err != nil {
				b.Error(err)
			}
			r.Release()
		}
	})
	pooltest.Compare(b, "prompt-hashers", func(pb *testing.PB) {
		var r Request
		var p prefix.Prompt
		if err := r.Check(Chat, body); err != nil {
			b.Error(err)
		}
		for pb.Next() {
			r.Names(body, "acme", &p)
		}
	})
}
