package gateway_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

const messageBody = `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`

// kept answers with whole or streamed, and keeps what it was sent.
func kept(into *string) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		*into = string(b)
		if strings.Contains(*into, `"stream":true`) {
			streamed(w, req)
			return
		}
		whole(w, req)
	}
}

// TestMessages: a client of Anthropic's, with its key in its own header, gets messages and
// streams of an engine that has chat completions alone.
func TestMessages(t *testing.T) {
	r := newRig(t)
	var sent string
	r.node("n1", "north", 4, kept(&sent))
	res, body := r.do("", "POST", "/v1/messages", messageBody, "X-Api-Key", r.infer, "Anthropic-Version", "2023-06-01")
	if res.StatusCode != 200 || !strings.Contains(body, `"content":[{"type":"text","text":"hello"}],"stop_reason":"end_turn"`) ||
		!strings.Contains(body, `"input_tokens":3,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":2`) {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	if id := res.Header.Get("Request-Id"); id == "" || id != res.Header.Get("X-Request-Id") {
		t.Errorf("request-id %q", id)
	}
	if call := r.engines.last(); call.Path != "/v1/chat/completions" || sent != `{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":9}` {
		t.Errorf("%s %s", call.Path, sent)
	}
	res, body = r.do(r.infer, "POST", "/v1/messages?beta=true", strings.Replace(messageBody, "{", `{"stream":true,`, 1))
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" || !strings.HasPrefix(body, "event: message_start\n") ||
		strings.Count(body, "text_delta") != 3 || !strings.HasSuffix(body, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if _, shown := r.do("", "GET", "/metrics", ""); !strings.Contains(shown, `requests_total{code="ok",endpoint="messages"} 2`) {
		t.Error("the messages are not counted")
	}
}

// TestTooManyTokens: a max_tokens that the context cannot hold is lowered, because every message gives one.
func TestTooManyTokens(t *testing.T) {
	r := newRig(t)
	var sent string
	r.engines.add("n1", kept(&sent))
	for most, want := range map[string]string{"4000": `"max_tokens":4000}`, "32000": `"max_tokens":4007}`} {
		r.able("n1", "m", spec.AbleChat, 0) // whose context is 4096
		if res, body := r.do(r.infer, "POST", "/v1/messages", strings.Replace(messageBody, ":9,", ":"+most+",", 1)); res.StatusCode != 200 || !strings.HasSuffix(sent, want) {
			t.Errorf("%s: %d %s %s", most, res.StatusCode, body, sent)
		}
	}
	if res, _ := r.do(r.infer, "POST", "/v1/messages", strings.Replace(messageBody, "hi", strings.Repeat("a", 1<<14), 1)); res.StatusCode != 200 || !strings.HasSuffix(sent, `"max_tokens":9}`) {
		t.Errorf("%d %.200s", res.StatusCode, sent)
	}
}

// TestResponses is the same for OpenAI's newer API.
func TestResponses(t *testing.T) {
	r := newRig(t)
	var sent string
	r.node("n1", "north", 4, kept(&sent))
	res, body := r.do(r.infer, "POST", "/v1/responses", `{"model":"m","input":"hi","instructions":"be kind"}`)
	var doc struct {
		Status string
		Output []struct{ Content []struct{ Text string } }
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil || res.StatusCode != 200 || doc.Status != "completed" || doc.Output[0].Content[0].Text != "hello" {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	if sent != `{"model":"m","messages":[{"role":"system","content":"be kind"},{"role":"user","content":"hi"}]}` {
		t.Error(sent)
	}
	res, body = r.do(r.infer, "POST", "/v1/responses", `{"model":"m","input":"hi","stream":true}`)
	if res.StatusCode != 200 || strings.Count(body, "event: response.output_text.delta\n") != 3 || !strings.Contains(body, "event: response.completed\n") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	for _, c := range []struct{ method, path, body, code, param string }{
		{"POST", "/v1/responses", `{"model":"m","input":"hi","conversation":"c"}`, "unsupported_parameter", "conversation"},
		{"GET", "/v1/responses/resp_1", "", "not_found", "id"},
		{"DELETE", "/v1/responses/resp_1", "", "not_found", "id"},
	} {
		_, body := r.do(r.infer, c.method, c.path, c.body)
		if codeOf(t, body) != c.code || !strings.Contains(body, `"param":"`+c.param+`"`) || !strings.Contains(body, "conversation so far in input") {
			t.Errorf("%s %s: %s", c.method, c.path, body)
		}
	}
}

// TestAnthropicErrors: whatever goes wrong on a route of Anthropic's is told in its form,
// all problems by the client's names, and elsewhere where the client says that it is one.
func TestAnthropicErrors(t *testing.T) {
	r := newRig(t)
	r.node("n1", "north", 4, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(400)
		_, _ = io.WriteString(w, `{"error":{"message":"The prompt has 9 tokens.","type":"invalid_request_error","param":"stop","code":"context_length_exceeded","hint":"Shorten it."}}`)
	})
	limited := r.state.addKey("lim", "t1", 1, "infer")
	r.tellState()
	_, _ = r.do(limited, "POST", "/v1/messages", messageBody)
	for _, c := range []struct {
		name, key, method, path, body string
		status                        int
		kind, code                    string
		headers                       []string
	}{
		{"no key", "", "POST", "/v1/messages", messageBody, 401, "authentication_error", "missing_api_key", nil},
		{"no model", r.infer, "POST", "/v1/messages", strings.Replace(messageBody, `"m"`, `"none"`, 1), 404, "not_found_error", "model_not_found", nil},
		{"problems", r.infer, "POST", "/v1/messages", `{"model":"m","messages":[{"role":"user","content":[{"type":"image"}]}]}`, 400, "invalid_request_error", "invalid_request", nil},
		{"no JSON", r.infer, "POST", "/v1/messages/count_tokens", `{`, 400, "invalid_request_error", "invalid_json", nil},
		{"spent", limited, "POST", "/v1/messages", messageBody, 429, "rate_limit_error", "rate_limit_exceeded", nil},
		{"the engine's", r.infer, "POST", "/v1/messages", messageBody, 400, "invalid_request_error", "context_length_exceeded", nil},
		{"the engine's, instead of a stream", r.infer, "POST", "/v1/messages", strings.Replace(messageBody, "{", `{"stream":true,`, 1), 400, "invalid_request_error", "context_length_exceeded", nil},
		{"nothing there", r.infer, "POST", "/v1/complete", "{}", 404, "not_found_error", "not_found", []string{"Anthropic-Version", "2023-06-01"}},
		{"no such model listed", r.infer, "GET", "/v1/models/none", "", 404, "not_found_error", "model_not_found", []string{"Anthropic-Version", "2023-06-01"}},
	} {
		r.tell("n1", 4, 0)
		res, body := r.do(c.key, c.method, c.path, c.body, c.headers...)
		var doc struct {
			Type  string
			Error struct {
				Type, Code, Hint, Param string
				Errors                  []struct{ Param string }
			}
			RequestID string `json:"request_id"`
		}
		if err := json.Unmarshal([]byte(body), &doc); err != nil || res.StatusCode != c.status || doc.Type != "error" || doc.Error.Type != c.kind ||
			doc.Error.Code != c.code || doc.Error.Hint == "" || doc.RequestID != res.Header.Get("Request-Id") || doc.RequestID == "" {
			t.Errorf("%s: %d %s", c.name, res.StatusCode, body)
		}
		switch c.name {
		case "problems":
			if len(doc.Error.Errors) != 2 || doc.Error.Errors[0].Param != "messages[0].content[0].source" {
				t.Errorf("%s", body)
			}
		case "the engine's":
			if doc.Error.Param != "stop_sequences" || doc.Error.Hint != "Shorten it." {
				t.Errorf("%s", body)
			}
		case "spent":
			reset, err := time.Parse(time.RFC3339, res.Header.Get("Anthropic-Ratelimit-Requests-Reset"))
			if err != nil || time.Until(reset) > time.Minute || res.Header.Get("Anthropic-Ratelimit-Requests-Limit") != "1" || res.Header.Get("Retry-After") == "" {
				t.Errorf("%v %v", err, res.Header)
			}
		}
	}
}

// TestAnthropicModels pages through the models as Anthropic's clients do.
func TestAnthropicModels(t *testing.T) {
	r := newRig(t)
	for i := range 5 {
		r.state.addDeployment(fmt.Sprint("d", i), "t1")
	}
	r.tellState()
	type list struct {
		Data    []struct{ ID, Type, DisplayName string }
		HasMore bool   `json:"has_more"`
		FirstID string `json:"first_id"`
		LastID  string `json:"last_id"`
	}
	page := func(query string) (l list, ids string) {
		t.Helper()
		res, body := r.do(r.infer, "GET", "/v1/models"+query, "", "Anthropic-Version", "2023-06-01")
		if err := json.Unmarshal([]byte(body), &l); err != nil || res.StatusCode != 200 {
			t.Fatalf("%s: %d %s", query, res.StatusCode, body)
		}
		for _, m := range l.Data {
			ids += m.ID + " "
		}
		return l, ids
	}
	for _, c := range []struct {
		query, ids string
		more       bool
	}{
		{"", "d0 d1 d2 d3 d4 m ", false}, {"?limit=4", "d0 d1 d2 d3 ", true}, {"?limit=4&after_id=d3", "d4 m ", false}, {"?limit=2&before_id=d4", "d2 d3 ", true},
		{"?before_id=d1", "d0 ", false}, {"?after_id=m", "", false}, {"?after_id=d2x&limit=1", "d3 ", true},
	} {
		if l, ids := page(c.query); ids != c.ids || l.HasMore != c.more {
			t.Errorf("%s: %s, more: %v", c.query, ids, l.HasMore)
		}
	}
	if _, body := r.do(r.infer, "GET", "/v1/models", ""); !strings.HasPrefix(body, `{"object":"list"`) {
		t.Error(body)
	}
	if res, _ := r.do(r.infer, "GET", "/v1/models?limit=0", "", "Anthropic-Version", "x"); res.StatusCode != 400 {
		t.Error(res.StatusCode)
	}
	if _, body := r.do(r.infer, "GET", "/v1/models/d0", "", "Anthropic-Version", "x"); !strings.HasPrefix(body, `{"id":"d0","type":"model","display_name":"d0","created_at":"`) {
		t.Error(body)
	}
}

// TestCountTokens: the engine counts, if it can; else the count says that it is an estimate.
func TestCountTokens(t *testing.T) {
	r := newRig(t)
	answer, status := `{"count":17,"max_model_len":4096}`, 200
	r.engines.add("n1", func(w http.ResponseWriter, req *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	})
	const body = `{"model":"m","messages":[{"role":"user","content":"12345678"}],"tools":[]}`
	for _, c := range []struct {
		name   string
		can    spec.Ability
		answer string
		status int
		want   string
		guess  string
	}{
		{"it can", spec.AbleChat | spec.AbleCount, answer, 200, `{"input_tokens":17}`, ""},
		{"it cannot", spec.AbleChat, answer, 200, `{"input_tokens":2}`, "true"},
		{"it says something else", spec.AbleChat | spec.AbleCount, `{"tokens":[]}`, 200, `{"input_tokens":2}`, "true"},
		{"it fails", spec.AbleChat | spec.AbleCount, `{}`, 404, `{"input_tokens":2}`, "true"},
	} {
		r.able("n1", "m", c.can, 0)
		answer, status = c.answer, c.status
		res, got := r.do(r.infer, "POST", "/v1/messages/count_tokens", body)
		if res.StatusCode != 200 || strings.TrimSpace(got) != c.want || res.Header.Get("X-Lotabots-Estimated") != c.guess || res.Header.Get("Request-Id") == "" {
			t.Errorf("%s: %d %s %v", c.name, res.StatusCode, got, res.Header)
		}
	}
	r.able("n1", "m", spec.AbleChat|spec.AbleCount, 0)
	answer, status = `{"error":{"message":"The chat has 9 bytes; 8 at most.","code":"context_length_exceeded","type":"invalid_request_error"}}`, 400
	if res, got := r.do(r.infer, "POST", "/v1/messages/count_tokens", body); res.StatusCode != 400 || !strings.Contains(got, "8 at most") || res.Header.Get("X-Lotabots-Estimated") != "" {
		t.Errorf("too large to be counted: %d %s", res.StatusCode, got)
	}
	answer, status = `{"count":17}`, 200
	if _, got := r.do(r.infer, "POST", "/v1/responses/input_tokens", `{"model":"m","input":"hi"}`); got != "{\"object\":\"response.input_tokens\",\"input_tokens\":17}\n" {
		t.Error(got)
	}
	if call := r.engines.last(); call.Path != "/tokenize" {
		t.Error(call.Path)
	}
}

// TestTranslatedStreamsGoOn: an engine that dies in the middle of a translated stream is replaced, and
// the client sees one whole answer, with the seam in a comment.
func TestTranslatedStreamsGoOn(t *testing.T) {
	r := newRig(t)
	for _, node := range []string{"n1", "n2"} {
		r.engines.add(node, func(w http.ResponseWriter, req *http.Request) {
			b, _ := io.ReadAll(req.Body)
			w.Header().Set("Content-Type", "text/event-stream")
			if !strings.Contains(string(b), `{"role":"assistant","content":"one two "}`) {
				event(w, "one ")
				event(w, "two ")
				panic(http.ErrAbortHandler)
			}
			event(w, "three")
			_, _ = io.WriteString(w, "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"+
				"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1}}\n\ndata: [DONE]\n\n")
		})
	}
	for _, c := range []struct{ path, body, end string }{
		{"/v1/messages", strings.Replace(messageBody, "{", `{"stream":true,`, 1), "event: message_stop\n"},
		{"/v1/responses", `{"model":"m","input":"hi","stream":true}`, "event: response.completed\n"},
	} {
		r.able("n1", "m", spec.AbleChat|spec.AbleContinue, 0)
		r.able("n2", "m", spec.AbleChat|spec.AbleContinue, 0)
		_, body := r.do(r.infer, "POST", c.path, c.body)
		for _, want := range []string{`"one "`, `"two "`, `"three"`, c.end, "\n: resumed"} {
			if strings.Count(body, want) != 1 {
				t.Errorf("%s lacks %q:\n%s", c.path, want, body)
			}
		}
		if strings.Contains(body, "event: error") {
			t.Error(body)
		}
	}
}

// TestAllProblemsAtOnce: whatever API the client speaks, one answer tells all that is wrong, by its own names;
// no engine is asked.
func TestAllProblemsAtOnce(t *testing.T) {
	r := newRig(t)
	r.node("n1", "north", 4, func(http.ResponseWriter, *http.Request) { t.Error("the engine was asked") })
	for _, c := range []struct {
		path, body string
		params     []string
	}{
		{"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{}}],"stop":["a",7],"seed":"x","temperature":9,"n":0}`,
			[]string{"tools[0].function.name", "stop[1]", "seed", "temperature", "n"}},
		{"/v1/messages", `{"model":"m","max_tokens":0,"messages":[{"role":"user","content":"hi"}],"tools":[{"name":"f"}],"stop_sequences":[7],"seed":"x","temperature":9,"logit_bias":7}`,
			[]string{"max_tokens", "tools[0].input_schema", "stop_sequences[0]", "seed", "temperature", "logit_bias"}},
		{"/v1/messages", `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}],"seed":"x"}`, []string{"seed"}},
		{"/v1/responses", `{"model":"m","input":"hi","max_output_tokens":0,"tools":[{"type":"function"}],"tool_choice":"sometimes","seed":"x","presence_penalty":9}`,
			[]string{"max_output_tokens", "seed", "presence_penalty", "tools[0].name", "tool_choice"}},
		{"/v1/embeddings", `{"model":"m","input":[],"encoding_format":"flat","dimensions":0}`, []string{"input", "encoding_format", "dimensions"}},
	} {
		res, body := r.do(r.infer, "POST", c.path, c.body)
		var told struct {
			Error struct {
				Errors []struct{ Param, Message string }
			}
		}
		if err := json.Unmarshal([]byte(body), &told); err != nil {
			t.Fatal(err)
		}
		var params []string
		for _, e := range told.Error.Errors {
			params = append(params, e.Param)
		}
		if res.StatusCode != 400 || !slices.Equal(params, c.params) {
			t.Errorf("%s: %d %v, want %v: %s", c.path, res.StatusCode, params, c.params, body)
		}
	}
}
