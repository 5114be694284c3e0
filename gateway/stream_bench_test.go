package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway"
)

// BenchmarkStreamed is what one streamed chat completion of 24 tokens costs, over a connection that is
// used again and again, or over one of its own; the client's part is in it. The engine's pieces are
// there as soon as they are asked for.
func BenchmarkStreamed(b *testing.B) {
	for _, again := range []bool{true, false} {
		b.Run(fmt.Sprintf("again=%v", again), func(b *testing.B) {
			books := &notedUses{}
			r := newRig(b, func(c *gateway.Config) {
				c.Opener, c.Usage, c.Quota = telling{}, books, plenty{}
				c.Balance.DigestInterval = time.Hour
			})
			key := r.state.addKey("bench", "t1", 2_000_000_000, "infer")
			r.state.keys["benchxxxx"].Models = []string{"m*"}
			r.state.fn(gateway.Change{Index: 11, Reset: true})
			r.node("n1", "north", 1<<20, nil)
			r.infer = key
			request := []byte(r.asked("/v1/chat/completions", `{"model":"m","stream":true,"temperature":0.2,"max_tokens":256,"messages":[`+
				`{"content":"You are a helpful assistant. Answer in one short paragraph, and say so where you are not sure.","role":"system"},`+
				`{"content":"Which of the nodes of a cluster should answer a request, if several have the model loaded?","role":"user"}]}`))
			var c net.Conn
			in := make([]byte, 64<<10)
			ask := func() {
				if c == nil {
					c = r.dial()
				}
				if _, err := c.Write(request); err != nil {
					b.Fatal(err)
				}
				for n := 0; !bytes.HasSuffix(in[:n], []byte("0\r\n\r\n")); {
					more, err := c.Read(in[n:])
					if n += more; err != nil || !bytes.HasPrefix(in[:n], []byte("HTTP/1.1 200")) {
						b.Fatalf("%v %q", err, in[:n])
					}
				}
				if !again {
					c.Close()
					c = nil
				}
			}
			for range 100 {
				ask()
			}
			b.ReportAllocs()
			before := computed()
			for b.Loop() {
				ask()
			}
			b.ReportMetric(float64(computed()-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// telling opens streams of 24 tokens.
type telling struct{}

func (telling) Open(context.Context, spec.Target, spec.Call, []byte) (spec.Stream, error) {
	return &told{left: 24 + 4}, nil
}

type told struct {
	answering
	left int
}

func (t *told) ContentType() string { return "text/event-stream" }

func (t *told) Read(p []byte) (int, error) {
	t.left--
	switch {
	case t.left > 2:
		return copy(p, streamToken), nil
	case t.left == 2:
		return copy(p, strings.ReplaceAll(streamToken, `"finish_reason":null`, `"finish_reason":"stop"`)), nil
	case t.left == 1:
		return copy(p, streamUsage), nil
	case t.left == 0:
		return copy(p, "data: [DONE]\n\n"), nil
	}
	return 0, io.EOF
}

const (
	streamToken = `data: {"id":"chatcmpl-DJ2K3WQ7BPL6Y3FQ4V5DQ2KJ5A","object":"chat.completion.chunk","created":1764128307,"model":"m","choices":[{"index":0,"delta":{"content":" again"},"logprobs":null,"finish_reason":null}],"usage":null}` + "\n\n"
	streamUsage = `data: {"id":"chatcmpl-DJ2K3WQ7BPL6Y3FQ4V5DQ2KJ5A","object":"chat.completion.chunk","created":1764128307,"model":"m","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":24,"total_tokens":36}}` + "\n\n"
)
