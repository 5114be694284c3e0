package openai

import (
	"bytes"
	"strings"
	"testing"
)

func TestUsageOf(t *testing.T) {
	for _, c := range []struct {
		tail string
		want Usage
		ok   bool
	}{
		{``, Usage{}, false},
		{`"usage":{"prompt_tokens":12,"completion_tokens": 34,"total_tokens":46}}`, Usage{12, 34, 0, false}, true},
		{`"usage":{"prompt_tokens":3,"total_tokens":3}}`, Usage{3, 0, 0, false}, true}, // embeddings
		{`"usage":{"prompt_tokens":12,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":8}}}`, Usage{12, 3, 8, true}, true},
		{`{"usage":{"prompt_tokens":1,"completion_tokens":1}}` + "\n\n" + `{"usage":{"prompt_tokens":5,"completion_tokens":6}}`, Usage{5, 6, 0, false}, true},
		{`"usage":{"prompt_tokens":null}`, Usage{}, false},
		{`"content":"\"prompt_tokens\":99,\"completion_tokens\":99"`, Usage{}, false}, // a model's own words
		{`prompt_tokens":7`, Usage{}, false},
		{`"prompt_tokens":99999999999999999999`, Usage{Prompt: 999_999_999}, true},
	} {
		if u, ok := UsageOf([]byte(c.tail)); u != c.want || ok != c.ok {
			t.Errorf("%s: %+v, %v", c.tail, u, ok)
		}
	}
}

func TestDone(t *testing.T) {
	for _, c := range []struct {
		tail         string
		done, failed bool
	}{
		{"data: [DONE]\n\n", true, false},
		{"data:[DONE]", true, false},
		{"data: {}\r\n\r\ndata: [DONE]\r\n\r\n", true, false},
		{"data: [DONE]\n\n\n", true, false},
		{"", false, false},
		{"data: {\"choices\":[]}\n\n", false, false},
		{"data: [DON", false, false},
		{"data: {\"choices\":[{\"delta\":{\"content\":\"so I say [DONE]", false, false}, // cut inside a model's words
		{"data: {\"choices\":[{\"delta\":{\"content\":\"data: [DONE]", false, false},
		{": [DONE]\n\n", false, false},
		{"data: [DONE]\n\ndata: {}\n\n", false, false},
		{"event: error\ndata: {\"error\":{\"message\":\"out of memory\"}}\n\n", false, true},
		{"data: {\"error\":{}}\n\n", false, true},
		{"data: {\"choices\":[{\"delta\":{\"content\":\"data: {\\\"error\\\"\"}}]}\n\n", false, false},
	} {
		if done, failed := Done([]byte(c.tail)); done != c.done || failed != c.failed {
			t.Errorf("%q: done %v, failed %v", c.tail, done, failed)
		}
	}
}

func TestEventEnd(t *testing.T) {
	for in, want := range map[string]int{
		"": 0, "\n": 0, "data: x": 0, "data: x\n": 0, "data: x\n\n": 9, "data: x\r\n\r\n": 11, "data: x\n\ndata: y\n": 9,
		"data: x\n\ndata: y\n\n": 18, "data: x\r\n\r": 0, ": ping\n\n": 8, "data: x\n\r\n": 10,
	} {
		if got := EventEnd([]byte(in)); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
}

func TestLastEvent(t *testing.T) {
	for in, want := range map[string]int{
		"": 0, "data: x\n\n": 0, "data: x\n\ndata: y\n\n": 9, "data: x\r\n\r\nevent: e\r\ndata: y\r\n\r\n": 11, "data: x\n\ndata: y": 9,
	} {
		if got := LastEvent([]byte(in)); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
}

// TestEnding: what follows the event that ends a stream is left out, wherever that stands; a model's words are no end.
func TestEnding(t *testing.T) {
	piece := "data: {\"choices\":[{\"delta\":{\"content\":\"[DONE] \\\"error\\\"\"}}]}\n\n"
	for _, c := range []struct {
		in           string
		n            int
		done, failed bool
	}{
		{piece + piece, 2 * len(piece), false, false},
		{piece + "data: [DONE]\n\n" + piece, len(piece) + 14, true, false},
		{"data:[DONE]\r\n\r\nx", 15, true, false},
		{"data: {\"error\":\"no\"}\n\ndata: [DONE]\n\n", 22, false, true},
		{"event: error\ndata: {\"id\":1, \"error\":{}}\n\n", 41, false, true},
		{"data: {\"object\":\"error\",\"message\":\"no\"}\n\n" + piece, 41, false, true},
		{"data: {\"error\":null,\"choices\":[{\"text\":\"error\"}]}\n\n", 51, false, false},
	} {
		if n, done, failed := Ending([]byte(c.in)); n != c.n || done != c.done || failed != c.failed {
			t.Errorf("%q: %d %v %v, want %d %v %v", c.in, n, done, failed, c.n, c.done, c.failed)
		}
	}
}

func TestSound(t *testing.T) {
	for _, in := range []string{"", ": ping\n\n", "data: {}\n\n", "data: [DONE]\r\n\r\n", "event: x\nid: 1\nretry: 2\ndata: {\"a\":\ndata: 1}\n\n", "data:\n\n", "event: error\ndata: {\"error\":{}}\n\n"} {
		if !Sound([]byte(in)) {
			t.Errorf("%q is an event", in)
		}
	}
	for _, in := range []string{"<html>\n\n", "data: <html>\n\n", "data: {\"a\":\n\n", "data: 5\n\n", "data: {} {}\n\n", "data: DONE\n\n", "{}\n\n"} {
		if Sound([]byte(in)) {
			t.Errorf("%q is none", in)
		}
	}
}

// FuzzEvents cuts a stream into pieces as a reader gets them, and takes the
// complete events off: all bytes have to come, in order, and every cut has to
// be behind an empty line.
func FuzzEvents(f *testing.F) {
	f.Add([]byte("data: {\"a\":1}\n\ndata: [DONE]\n\n"), uint8(3))
	f.Add([]byte("event: x\r\ndata: y\r\n\r\n\n\n:"), uint8(1))
	f.Fuzz(func(t *testing.T, in []byte, piece uint8) {
		in = in[:min(len(in), 4<<10)] // what is left is looked at again with each piece
		var out, buf []byte
		step := max(int(piece), 1)
		for at := 0; at < len(in); at += step {
			buf = append(buf, in[at:min(at+step, len(in))]...)
			n := EventEnd(buf)
			if n == 0 {
				continue
			}
			if end := string(buf[:n]); !strings.HasSuffix(end, "\n\n") && !strings.HasSuffix(end, "\n\r\n") {
				t.Fatalf("cut %q", end)
			}
			out = append(out, buf[:n]...)
			buf = buf[:copy(buf, buf[n:])]
			if EventEnd(buf) != 0 {
				t.Fatalf("a complete event is left in %q", buf)
			}
		}
		if got := append(out, buf...); !bytes.Equal(got, in) {
			t.Fatalf("%q became %q", in, got)
		}
	})
}

func TestHollow(t *testing.T) {
	for in, want := range map[string]bool{
		"": false, "data: [DONE]": false, "data: [DONE]\n\n": true, ": x\n\n\r\n\r\ndata: [DONE]\r\n\r\n": true,
		"data: {}\n\ndata: [DONE]\n\n": false, ": x\n\n": false, "data: {\"error\":{}}\n\n": false,
	} {
		if got := Hollow([]byte(in)); got != want {
			t.Errorf("%q: %v", in, got)
		}
	}
}

func FuzzUsage(f *testing.F) {
	f.Add([]byte(`"usage":{"prompt_tokens":12,"completion_tokens":34}`))
	f.Fuzz(func(t *testing.T, tail []byte) {
		u, ok := UsageOf(tail)
		if u.Prompt < 0 || u.Completion < 0 || (ok && !bytes.Contains(tail, []byte(`"prompt_tokens":`))) {
			t.Fatalf("%+v, %v", u, ok)
		}
		if done, failed := Done(tail); done && failed {
			t.Fatal("done and failed")
		}
		Hollow(tail)
		if n, done, failed := Ending(tail); n > len(tail) || done && failed {
			t.Fatal(n, done, failed)
		}
		if before, event := EngineFailed(tail); before+len(event) > len(tail) || event == nil && before != len(tail) {
			t.Fatal(before, event)
		}
		IsError(tail)
		Sound(tail)
		StreamError(tail)
		EngineError("POST /", 400, tail)
	})
}

func TestMentionsError(t *testing.T) {
	for text, want := range map[string]bool{"": false, `"error"`: true, `x"error"`: true, `rror"`: false, `"rror"`: false, `error"`: false, `"error`: false,
		`"terror" "error"`: true, `"mirror" "errors" 'error"`: false, `"err"error"`: true, `"errorror"`: false, `"e"error":`: true} {
		if got := mentionsError([]byte(text)); got != want || got != strings.Contains(text, `"error"`) {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// BenchmarkAnswer is what the way back looks for in whole answers.
func BenchmarkAnswer(b *testing.B) {
	const before, after = `{"id":"chatcmpl-1","object":"chat.completion","created":1752000000,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"`,
		`"},"finish_reason":"stop"}],"usage":{"prompt_tokens":30,"completion_tokens":20,"total_tokens":50}}`
	for _, c := range []struct{ name, answer string }{
		{"short", before + "The node that has the request's beginning in its cache should answer it." + after},
		{"long", before + strings.Repeat(`The node that has the request's \"beginning\" in its cache should answer it.\n\n`, 100) + after},
		{"embeddings", `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[` + strings.Repeat("-0.0123456,", 1535) + `0]}],"model":"m","usage":{"prompt_tokens":8,"total_tokens":8}}`},
	} {
		b.Run(c.name, func(b *testing.B) {
			answer := []byte(c.answer)
			b.SetBytes(int64(len(answer)))
			for b.Loop() {
				if !IsAnswer(answer) || c.name != "embeddings" && !HasChoices(answer) {
					b.Fatal("it is none")
				}
				UsageOf(answer[max(0, len(answer)-TailSize):])
			}
		})
	}
}
