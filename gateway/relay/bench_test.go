package relay

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/balance"
)

// benchEvents is how many events a stream of the benchmarks has.
const benchEvents = 1000

// A replay is a stream that gives one event with each read, as engines do.
type replay struct {
	event, last string
	left        int
}

func (r *replay) Read(p []byte) (int, error) {
	r.left--
	switch {
	case r.left > 0:
		return copy(p, r.event), nil
	case r.left == 0:
		return copy(p, r.last), nil
	}
	return 0, io.EOF
}
func (r *replay) Close() error            { return nil }
func (r *replay) Status() int             { return 200 }
func (r *replay) ContentType() string     { return eventStream }
func (r *replay) Load() (spec.Load, bool) { return spec.Load{}, false }

type replays struct{ event string }

func (o replays) Open(context.Context, spec.Target, spec.Call, []byte) (spec.Stream, error) {
	return &replay{o.event, stopped + usage + done, benchEvents + 1}, nil
}

const benchEvent = `data: {"id":"chatcmpl-DJ2K3WQ7BPL6Y3FQ4V5DQ2KJ5A","object":"chat.completion.chunk","created":1764128307,"model":"llama-3-8b","choices":[{"index":0,"delta":{"content":" again"},"logprobs":null,"finish_reason":null}]%s}` + "\n\n"

// benchmarkStream passes streams of benchEvents events on; ns/op is of one event.
func benchmarkStream(b *testing.B, event string, can spec.Ability, prepare func(*Exchange)) {
	bench := newBench(b, "a")
	bench.plays("a", says(200, "{}"))
	bench.get(false) // shutting a server down that does not serve yet would wait for ever
	bench.can = can
	bench.tell()
	bench.relay.cfg.Opener = replays{event}
	b.ReportAllocs()
	b.SetBytes(int64(len(event)))
	b.ResetTimer()
	for i := 0; i < b.N; i += benchEvents {
		x := &Exchange{Context: context.Background(), Body: []byte("{}"), Call: spec.Call{Deployment: "m", Version: 3, Stream: true},
			Query: balance.Query{Deployment: "m", Version: 3, Region: "north", PromptTokens: 10}}
		prepare(x)
		bench.relay.begin(x)
		s := &body{x: x, ready: make(chan struct{})}
		s.produce()
		if _, err := s.WriteTo(io.Discard); err != nil || s.fault != nil {
			b.Fatal(err, s.fault)
		}
		_ = s.Close()
	}
}

// BenchmarkStream is of what passes untouched.
func BenchmarkStream(b *testing.B) {
	benchmarkStream(b, fmt.Sprintf(benchEvent, ""), 0, func(*Exchange) {})
}

// BenchmarkFollowed is of a chat whose usage the gateway has asked for.
func BenchmarkFollowed(b *testing.B) {
	benchmarkStream(b, fmt.Sprintf(benchEvent, `,"usage":null`), spec.AbleUsage|spec.AbleContinue, func(x *Exchange) { x.Call.Path = chatPath })
}

// BenchmarkTokens is of one whose token ids it has asked for as well.
func BenchmarkTokens(b *testing.B) {
	event := strings.Replace(fmt.Sprintf(benchEvent, `,"usage":null`), `"finish_reason":null`, `"finish_reason":null,"token_ids":[12345]`, 1)
	benchmarkStream(b, event, spec.AbleUsage|spec.AbleContinue|spec.AbleTokens, func(x *Exchange) { x.Call.Path = chatPath })
}
