package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/balance"
	"github.com/lotabots/lotabots/gateway/openai"
)

// FuzzRaw: events of whatever API pass on to the byte, however they come, up to the engine's own error, in whose
// place there is one of the gateway's; what is no events passes on whole.
func FuzzRaw(f *testing.F) {
	f.Add([]byte("data: 1\n\ndata: {\"error\":{\"message\":\"x\"}}\n\ndata: 2\n\n"), uint8(3), true)
	f.Add([]byte("event: error\r\ndata: x\r\n\r\n"), uint8(1), true)
	f.Add([]byte("\x00data\n\n\xff"), uint8(2), false)
	f.Fuzz(func(t *testing.T, sent []byte, step uint8, events bool) {
		sent = sent[:min(len(sent), 4<<10)]
		s := &scripted{t: t, step: int(step)%64 + 1}
		x := &Exchange{Context: context.Background(), Raw: true, Call: spec.Call{RequestID: "r1", Deployment: "m", Stream: true}, Query: balance.Query{Deployment: "m"}}
		r := New(Config{Opener: s, Table: balance.NewTable(balance.Config{Random: steady})})
		r.begin(x)
		s.open++
		x.stream, x.grant.Began = &script{scripted: s, text: string(sent), err: io.EOF, status: 200}, time.Now()
		if x.contentType = "audio/mpeg"; events {
			x.contentType = eventStream
		}
		var got bytes.Buffer
		b := &rawBody{x: x}
		if _, err := b.WriteTo(&got); err != nil {
			t.Fatal(err)
		}
		_ = b.Close()
		before, event := openai.EngineFailed(sent)
		if !events || event == nil {
			if !bytes.Equal(got.Bytes(), sent) || b.fault != nil {
				t.Fatalf("%q became %q, %v", sent, got.Bytes(), b.fault)
			}
			return
		}
		end, ok := strings.CutPrefix(got.String(), string(sent[:before])+"event: error\ndata: ")
		if !ok || !json.Valid([]byte(end)) || b.fault == nil {
			t.Fatalf("%q became %q, %v", sent, got.Bytes(), b.fault)
		}
	})
}

// FuzzEdited: whatever an engine streams, nothing is added to it where its answer is the first, and what is taken
// out of JSON or put into it, where it goes on with another's, leaves JSON.
func FuzzEdited(f *testing.F) {
	f.Add([]byte(`{"id":"a","created":1,"choices":[{"index":0,"delta":{"role":"assistant","content":"x"},"token_ids":[1,2],"finish_reason":null}]}`), []byte(`{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3}}`), true)
	f.Add([]byte(`{"choices":[{"delta":{"tool_calls":[{}]}},{"index":2,"finish_reason":"stop"}]}`), []byte(`[DONE]`), false)
	f.Add([]byte(`{"id":null,"id":"b","created":{},"choices":[{"delta":{"content":"\ud800"}}]}`), []byte("\n\n: x\n\nevent: y"), true)
	f.Fuzz(func(t *testing.T, first, second []byte, resuming bool) {
		events := append(append(append([]byte("data: "), first...), "\n\ndata: "...), second...)
		events = append(events, "\n\n"...)
		sent := bytes.Clone(events)
		x := &Exchange{Call: spec.Call{Path: chatPath, Stream: true}, resuming: resuming, shift: 2, asking: asking{usage: true, tokens: true, choices: 1}}
		if resuming {
			x.script.id, x.script.created, x.script.role = []byte(`"first"`), []byte("7"), true
		}
		b := &body{x: x, intact: true}
		out := bytes.Clone(b.edited(events))
		if !resuming && len(out) > len(sent) {
			t.Fatalf("%q became %q", sent, out)
		}
		if !json.Valid(first) || bytes.ContainsAny(first, "\r\n") || !json.Valid(second) || bytes.ContainsAny(second, "\r\n") {
			return
		}
		for len(out) > 0 {
			n := openai.NextEvent(out)
			data, ok := bytes.CutPrefix(out[:n], []byte("data: "))
			if n == 0 || !ok || !json.Valid(data) {
				t.Fatalf("%q became %q", sent, out)
			}
			out = out[n:]
		}
	})
}
