package relay

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/pool/pooltest"
	"github.com/lotabots/lotabots/gateway/balance"
)

// sink is a connection that takes everything.
type sink struct{ net.Conn }

func (sink) Write(b []byte) (int, error) { return len(b), nil }

// short gives whole answers, or streams of 24 events.
type short struct{ event string }

type wholeAnswer struct{ strings.Reader }

func (*wholeAnswer) Close() error            { return nil }
func (*wholeAnswer) Status() int             { return 200 }
func (*wholeAnswer) ContentType() string     { return jsonType }
func (*wholeAnswer) Load() (spec.Load, bool) { return spec.Load{}, false }

func (s short) Open(_ context.Context, _ spec.Target, call spec.Call, _ []byte) (spec.Stream, error) {
	if call.Stream {
		return &replay{s.event, stopped + usage + done, 25}, nil
	}
	a := &wholeAnswer{}
	a.Reset(`{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"` + strings.Repeat("word ", 60) + `"},"finish_reason":"stop"}]}`)
	return a, nil
}

func BenchmarkPool(b *testing.B) {
	for name, size := range map[string]int{"stream-frames": 200, "large-frames": 12 << 10} {
		piece := make([]byte, size)
		pooltest.Compare(b, name, func(pb *testing.PB) {
			p := &passing{c: sink{}, chunked: true}
			for pb.Next() {
				_, _ = p.Write(piece)
			}
		})
	}
	bench := newBench(b, "a")
	bench.plays("a", says(200, "{}"))
	bench.get(false)
	bench.relay.cfg.Opener = short{strings.Replace(benchEvent, "%s", "", 1)}
	exchange := func(stream bool) *Exchange {
		return &Exchange{Context: context.Background(), Body: []byte("{}"), Call: spec.Call{Deployment: "m", Version: 3, Stream: stream},
			Query: balance.Query{Deployment: "m", Version: 3, Region: "north", PromptTokens: 10}}
	}
	pooltest.Compare(b, "answers", func(pb *testing.PB) {
		var ctx fasthttp.RequestCtx
		for pb.Next() {
			ctx.Response.Reset()
			if err := bench.relay.Serve(&ctx, exchange(false)); err != nil {
				b.Error(err)
			}
		}
	})
	pooltest.Compare(b, "stream-pauses", func(pb *testing.PB) {
		s := &body{x: exchange(true), ready: make(chan struct{})}
		s.x.r = bench.relay
		close(s.ready)
		for pb.Next() {
			s.first()
		}
	})
	pooltest.Compare(b, "quiet-streams", func(pb *testing.PB) {
		for pb.Next() {
			x := exchange(true)
			bench.relay.begin(x)
			s := &body{x: x, ready: make(chan struct{})}
			s.produce()
			if _, err := s.WriteTo(io.Discard); err != nil || s.fault != nil {
				b.Error(err, s.fault)
			}
			_ = s.Close()
		}
	})
}
