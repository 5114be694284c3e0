package gateway_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
)

const (
	ownMessage  = `{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"text","text":"hello"}],"model":"m","stop_reason":"end_turn","usage":{"input_tokens":11,"output_tokens":7}}`
	ownResponse = `{"id":"resp_1","object":"response","error":null,"output":[],"usage":{"input_tokens":11,"output_tokens":7}}`
	ownMessages = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"usage\":{\"input_tokens\":11,\"output_tokens\":0}}}\n\n" +
		"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hello\"}}\n\n"
	ownEnd     = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":7}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
	ownCreated = "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_1\",\"error\":null}}\n\n"
	ownDone    = "event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":1,\"response\":{\"id\":\"resp_1\",\"usage\":{\"input_tokens\":11,\"output_tokens\":7}}}\n\n"
)

// written is what a sink has.
func written(s *sink) []*wire.UsageRecord {
	s.Lock()
	defer s.Unlock()
	return slices.Clone(s.all)
}

// speaks answers as an engine that has Messages and Responses itself, and chat completions too.
func speaks(w http.ResponseWriter, req *http.Request) {
	b, _ := io.ReadAll(req.Body)
	stream := strings.Contains(string(b), `"stream":true`)
	if stream {
		w.Header().Set("Content-Type", "text/event-stream")
	}
	switch {
	case req.URL.Path == "/v1/messages" && stream:
		_, _ = io.WriteString(w, ownMessages+ownEnd+"data: [DONE]\n\n")
	case req.URL.Path == "/v1/messages":
		_, _ = io.WriteString(w, ownMessage)
	case req.URL.Path == "/v1/responses" && stream:
		_, _ = io.WriteString(w, ownCreated+ownDone)
	case req.URL.Path == "/v1/responses":
		_, _ = io.WriteString(w, ownResponse)
	default:
		whole(w, req)
	}
}

const nativeAble = spec.AbleChat | spec.AbleMessages | spec.AbleResponses

// TestNative: an engine that is to be asked in the client's API gets the body as the client wrote it, its
// answer passes as it comes, and what it tells is what is written down.
func TestNative(t *testing.T) {
	used := &sink{}
	r := newRig(t, func(c *gateway.Config) { c.Usage = used })
	var sent atomic.Value
	r.engines.add("n1", func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		sent.Store(req.URL.Path + " " + string(b))
		req.Body = io.NopCloser(strings.NewReader(string(b)))
		speaks(w, req)
	})
	message := `{"max_tokens":9, "model":"m","messages":[{"role":"user","content":[{"type":"text","text":"hi","cache_control":{"type":"ephemeral"}}]}]}`
	streamed := strings.Replace(message, "{", `{"stream":true,`, 1)
	for _, c := range []struct{ path, body, want string }{
		{"/v1/messages", message, ownMessage}, {"/v1/messages", streamed, ownMessages + ownEnd},
		{"/v1/responses", `{"model":"m","input":"hi","made_up":1}`, ownResponse}, {"/v1/responses", `{"model":"m","input":"hi","stream":true}`, ownCreated + ownDone},
	} {
		r.able("n1", "m", nativeAble, 0)
		res, body := r.do(r.infer, "POST", c.path, c.body)
		if res.StatusCode != 200 || body != c.want {
			t.Errorf("%s: %d %s", c.path, res.StatusCode, body)
		}
		if got := sent.Load(); got != c.path+" "+c.body {
			t.Errorf("the engine was sent %s", got)
		}
	}
	for _, u := range written(used) {
		if u.GetPrompt() != 11 || u.GetCompletion() != 7 || u.GetUnknown() {
			t.Errorf("%v", u)
		}
	}
	if n := len(written(used)); n != 4 {
		t.Errorf("%d requests are written down", n)
	}
	r.able("n1", "m", spec.AbleChat, 0)
	if _, body := r.do(r.infer, "POST", "/v1/messages", messageBody); !strings.Contains(body, `"text":"hello"`) || !strings.HasPrefix(sent.Load().(string), "/v1/chat/completions ") {
		t.Errorf("one that is not asked in it: %v %s", sent.Load(), body)
	}
}

// TestNativeThatIsNone: an engine that does not have it after all is asked as every engine is, and is not
// asked for it again.
func TestNativeThatIsNone(t *testing.T) {
	r := newRig(t)
	asked := map[string]*atomic.Int32{"/v1/messages": {}, "/v1/responses": {}, "/v1/chat/completions": {}}
	r.engines.add("n1", func(w http.ResponseWriter, req *http.Request) {
		asked[req.URL.Path].Add(1)
		switch req.URL.Path {
		case "/v1/messages":
			w.WriteHeader(501)
			_, _ = io.WriteString(w, `{"error":{"type":"not_implemented","message":"no"}}`)
		case "/v1/responses":
			w.WriteHeader(404)
			_, _ = io.WriteString(w, `{"detail":"Not Found"}`)
		default:
			whole(w, req)
		}
	})
	for range 3 {
		r.able("n1", "m", nativeAble, 0)
		for _, c := range [][2]string{{"/v1/messages", messageBody}, {"/v1/responses", `{"model":"m","input":"hi"}`}} {
			if res, body := r.do(r.infer, "POST", c[0], c[1]); res.StatusCode != 200 || !strings.Contains(body, `"hello"`) {
				t.Fatalf("%s: %d %s", c[0], res.StatusCode, body)
			}
		}
	}
	if m, o, c := asked["/v1/messages"].Load(), asked["/v1/responses"].Load(), asked["/v1/chat/completions"].Load(); m != 1 || o != 1 || c != 6 {
		t.Errorf("asked %d, %d and %d times", m, o, c)
	}
}

// TestNativeFailures are told in the client's API, wherever they come from, and nothing is cut off in silence.
func TestNativeFailures(t *testing.T) {
	used := &sink{}
	r := newRig(t, func(c *gateway.Config) { c.Usage = used })
	var play atomic.Value
	r.engines.add("n1", func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, play.Load().(string))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	message := strings.Replace(messageBody, "{", `{"stream":true,`, 1)
	const response = `{"model":"m","input":"hi","stream":true}`
	for _, c := range []struct {
		path, body, play string
		wants            []string
	}{
		{"/v1/messages", message, ownMessages, []string{ownMessages, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\"", `"code":"stream_broken"`}},
		{"/v1/messages", message, ownMessages + "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded\",\"message\":\"out of memory\"}}\n\n",
			[]string{ownMessages, "event: error\ndata: {\"type\":\"error\"", "out of memory", `"request_id"`}},
		{"/v1/messages", message, ownMessages + "data: what\n\n", []string{"event: error\ndata: {\"type\":\"error\"", `"engine_error"`}},
		{"/v1/responses", response, ownCreated, []string{ownCreated, "event: error\ndata: {\"type\":\"error\",\"sequence_number\":1,\"code\":\"stream_broken\"", "event: response.failed\n"}},
		{"/v1/responses", response, ownCreated + "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"server_error\",\"message\":\"no memory\"}}}\n\n",
			[]string{ownCreated, "event: error\ndata: {\"type\":\"error\"", "no memory", "event: response.failed\n"}},
	} {
		play.Store(c.play)
		r.able("n1", "m", nativeAble|spec.AbleContinue, 0)
		res, body := r.do(r.infer, "POST", c.path, c.body)
		if res.StatusCode != 200 {
			t.Errorf("%d", res.StatusCode)
		}
		for _, want := range c.wants {
			if !strings.Contains(body, want) {
				t.Errorf("%s\nlacks %s:\n%s", c.play, want, body)
			}
		}
	}
	for _, u := range written(used) {
		if u.GetOutcome() != "failed" {
			t.Errorf("it failed: %v", u)
		}
	}
}
