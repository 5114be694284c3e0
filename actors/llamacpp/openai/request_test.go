package openai

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
)

func TestChatIsRead(t *testing.T) {
	g, err := ParseGeneration(Chat, []byte(`{"model":"m","stream":true,"stream_options":{"include_usage":true},"max_tokens":5,
		"max_completion_tokens":7,"temperature":0,"top_p":0.5,"top_k":-1,"seed":-3,"stop":["a","b"],"user":"ignored","tools":[],
		"n":1,"logprobs":false,"response_format":{"type":"text"},
		"messages":[{"role":"developer","content":"S"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"assistant","content":null}]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []Message{{Role: "system", Content: "S"}, {Role: "user", Content: "ab"}, {Role: "assistant"}}
	if !reflect.DeepEqual(g.Messages, want) || !g.Stream || !g.IncludeUsage || g.MaxTokens != 7 || g.Model != "m" {
		t.Errorf("got %+v", g)
	}
	if s := g.Sampling; s.Temperature != 0 || s.TopP != 0.5 || s.TopK != 0 || s.Seed == nil {
		t.Errorf("sampling is %+v", s)
	}
	if !reflect.DeepEqual(g.Stop, []string{"a", "b"}) {
		t.Errorf("stop is %q", g.Stop)
	}
}

func TestDefaults(t *testing.T) {
	chat, err := ParseGeneration(Chat, []byte(`{"messages":[{"role":"user","content":"x"}],"temperature":null,"stop":null}`))
	if err != nil || chat.MaxTokens != 0 || !reflect.DeepEqual(chat.Sampling, Sampling{Temperature: 1, TopP: 1}) || chat.N != 1 || !chat.Answer || chat.Grammar != "" || chat.Stream {
		t.Errorf("chat: %+v, %v", chat, err)
	}
	text, err := ParseGeneration(Completion, []byte(`{"prompt":[1,2],"stop":"x"}`))
	if err != nil || text.MaxTokens != 16 || !reflect.DeepEqual(text.Tokens, []int32{1, 2}) || !reflect.DeepEqual(text.Stop, []string{"x"}) {
		t.Errorf("completion: %+v, %v", text, err)
	}
}

func TestRefusals(t *testing.T) {
	const m = `"messages":[{"role":"user","content":"x"}]`
	const f = `{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}`
	for _, c := range []struct {
		kind        Kind
		body        string
		code        spec.Code
		param, says string
	}{
		{Chat, `{`, spec.CodeInvalidJSON, "", "JSON"},
		{Chat, `[]`, spec.CodeInvalidJSON, "", "is not a JSON object"},
		{Chat, `null`, spec.CodeInvalidJSON, "", "JSON"},
		{Chat, `{` + m + `} {}`, spec.CodeInvalidJSON, "", "follows"},
		{Chat, `{}`, spec.CodeInvalidRequest, "messages", "missing"},
		{Chat, `{"messages":[]}`, spec.CodeInvalidRequest, "messages", "0 entries"},
		{Chat, `{"messages":[{"role":"robot","content":"x"}]}`, spec.CodeInvalidRequest, "messages[0].role", "robot"},
		{Chat, `{"messages":[{"role":"user","content":"a\u0000b"}]}`, spec.CodeInvalidRequest, "messages[0].content", "NUL"},
		{Chat, `{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}`, spec.CodeUnsupported, "messages[0].content", "image_url"},
		{Chat, `{` + m + `,"n":0}`, spec.CodeInvalidRequest, "n", "between 1 and 16"},
		{Chat, `{` + m + `,"best_of":2}`, spec.CodeUnsupported, "best_of", "best_of"},
		{Chat, `{` + m + `,"logprobs":1}`, spec.CodeInvalidRequest, "logprobs", "true or false"},
		{Chat, `{` + m + `,"logprobs":true,"top_logprobs":21}`, spec.CodeInvalidRequest, "top_logprobs", "between 0 and 20"},
		{Chat, `{` + m + `,"top_logprobs":2}`, spec.CodeInvalidRequest, "top_logprobs", "needs logprobs"},
		{Completion, `{"prompt":"x","logprobs":true}`, spec.CodeInvalidRequest, "logprobs", "whole number"},
		{Completion, `{"prompt":"x","logprobs":99}`, spec.CodeInvalidRequest, "logprobs", "between"},
		{Chat, `{` + m + `,"logit_bias":{"x":1}}`, spec.CodeInvalidRequest, "logit_bias", "token's number"},
		{Chat, `{` + m + `,"logit_bias":{"7":101}}`, spec.CodeInvalidRequest, "logit_bias", "between -100 and 100"},
		{Chat, `{` + m + `,"tools":{}}`, spec.CodeInvalidRequest, "tools", "list"},
		{Chat, `{` + m + `,"tools":[{"type":"function"}]}`, spec.CodeInvalidRequest, "tools[0].function", "missing"},
		{Chat, `{` + m + `,"tools":[` + f + `,{"type":"web_search"}]}`, spec.CodeUnsupported, "tools[1].type", "web_search"},
		{Chat, `{` + m + `,"tools":[{"type":"function","function":{"name":"a b"}}]}`, spec.CodeInvalidRequest, "tools[0].function.name", "letters"},
		{Chat, `{` + m + `,"tools":[` + f + `,` + f + `]}`, spec.CodeInvalidRequest, "tools[1].function.name", "two tools"},
		{Chat, `{` + m + `,"tool_choice":"required"}`, spec.CodeInvalidRequest, "tool_choice", "no tools"},
		{Chat, `{` + m + `,"tool_choice":"any","tools":[` + f + `]}`, spec.CodeInvalidRequest, "tool_choice", "auto"},
		{Chat, `{` + m + `,"tool_choice":{"type":"function","function":{"name":"g"}},"tools":[` + f + `]}`, spec.CodeInvalidRequest, "tool_choice.function.name", "\"g\""},
		{Chat, `{"messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":{}}}]}]}`, spec.CodeInvalidRequest, "messages[1].tool_calls", "string"},
		{Chat, `{"messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"1"}]}]}`, spec.CodeInvalidRequest, "messages[1].tool_calls[0].function.name", "function's"},
		{Completion, `{"prompt":"x","tools":[` + f + `]}`, spec.CodeUnsupported, "tools", "completion"},
		{Chat, `{` + m + `,"functions":[{}]}`, spec.CodeUnsupported, "functions", "functions"},
		{Chat, `{` + m + `,"response_format":{"type":"xml"}}`, spec.CodeUnsupported, "response_format", "json_schema"},
		{Chat, `{` + m + `,"response_format":{"type":"json_schema"}}`, spec.CodeInvalidRequest, "response_format", "missing"},
		{Chat, `{` + m + `,"response_format":{"type":"json_schema","json_schema":{"schema":{"not":{}}}}}`, spec.CodeUnsupported, "response_format", "\"not\""},
		{Chat, `{` + m + `,"temperature":3}`, spec.CodeInvalidRequest, "temperature", "between 0 and 2"},
		{Chat, `{` + m + `,"temperature":"hot"}`, spec.CodeInvalidRequest, "temperature", "string"},
		{Chat, `{` + m + `,"max_tokens":0}`, spec.CodeInvalidRequest, "max_tokens", "at least 1"},
		{Chat, `{` + m + `,"stop":[""]}`, spec.CodeInvalidRequest, "stop", "1 to"},
		{Chat, `{` + m + `,"stop":7}`, spec.CodeInvalidRequest, "stop", "list"},
		{Chat, `{` + m + `,"continue_final_message":true}`, spec.CodeInvalidRequest, "continue_final_message", "assistant"},
		{Chat, `{"messages":[{"role":"user"},{"role":"assistant","content":"x"}],"continue_final_message":true,"add_generation_prompt":true}`, spec.CodeInvalidRequest, "continue_final_message", "exclude"},
		{Chat, `{"messages":[{"role":"assistant","content":"x"}],"continue_final_message":true}`, spec.CodeInvalidRequest, "continue_final_message", "before it"},
		{Chat, `{` + m + `,"cache_salt":"` + strings.Repeat("x", 257) + `"}`, spec.CodeInvalidRequest, "cache_salt", "257"},
		{Chat, `{` + m + `,"stream_options":{}}`, spec.CodeInvalidRequest, "stream_options", "stream"},
		{Chat, `{` + m + `,"parallel_tool_calls":"no"}`, spec.CodeInvalidRequest, "parallel_tool_calls", "parallel_tool_calls must not be a JSON string"},
		{Chat, `{` + m + `,"best_of":"no"}`, spec.CodeInvalidRequest, "best_of", "best_of must not be a JSON string"},
		{Chat, `{` + m + `,"stream_options":{"include_usage":3}}`, spec.CodeInvalidRequest, "stream_options.include_usage", "number"},
		{Completion, `{"prompt":["a","b"]}`, spec.CodeUnsupported, "prompt", "2 entries"},
		{Completion, `{"prompt":[1,null]}`, spec.CodeInvalidRequest, "prompt", "prompt"},
		{Completion, `{"prompt":[-1]}`, spec.CodeInvalidRequest, "prompt", "prompt"},
	} {
		_, err := ParseGeneration(c.kind, []byte(c.body))
		var e *spec.Error
		if !errors.As(err, &e) || e.Code != c.code || e.Param != c.param || !strings.Contains(e.Message, c.says) {
			t.Errorf("%s: got %v, want %s on %q saying %q", c.body, err, c.code, c.param, c.says)
		}
	}
}

func TestEmbeddingInputs(t *testing.T) {
	for body, want := range map[string][]Input{
		`{"input":"a"}`:                  {{Text: "a"}},
		`{"input":["a","b"]}`:            {{Text: "a"}, {Text: "b"}},
		`{"input":[1,2]}`:                {{Tokens: []int32{1, 2}}},
		`{"input":[[1],[2,3]]}`:          {{Tokens: []int32{1}}, {Tokens: []int32{2, 3}}},
		`{"input":["a",[2]],"user":"u"}`: {{Text: "a"}, {Tokens: []int32{2}}},
	} {
		if e, err := ParseEmbedding([]byte(body)); err != nil || !reflect.DeepEqual(e.Inputs, want) {
			t.Errorf("%s: %+v, %v", body, e, err)
		}
	}
	for _, body := range []string{`{}`, `{"input":[]}`, `{"input":""}`, `{"input":[[]]}`, `{"input":[null]}`, `{"input":{}}`, `{"input":"a","encoding_format":"x"}`, `{"input":"a","dimensions":3}`} {
		if e, err := ParseEmbedding([]byte(body)); err == nil {
			t.Errorf("%s was taken: %+v", body, e)
		}
	}
}

func TestErrorShape(t *testing.T) {
	status, body := Error(&spec.Error{Code: spec.CodeUnsupported, Param: "n", Message: "no"}, "req-1")
	var got struct {
		Error struct {
			Message, Type, Param, Code, Hint string
			RequestID                        string `json:"request_id"`
		}
	}
	if err := json.Unmarshal(body, &got); err != nil || status != 400 {
		t.Fatalf("%d %s: %v", status, body, err)
	}
	if got.Error.Code != "unsupported_parameter" || got.Error.Param != "n" || got.Error.Type != "invalid_request_error" || got.Error.Message != "No." || got.Error.Hint != spec.CodeUnsupported.Lookup().Remedy || got.Error.RequestID != "req-1" {
		t.Errorf("got %s", body)
	}
	if status, body := Error(errors.New("secret detail"), ""); status != 500 || strings.Contains(string(body), "secret") {
		t.Errorf("an unknown error is shown: %d %s", status, body)
	}
}

func FuzzGeneration(f *testing.F) {
	f.Add(true, []byte(`{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]}],"stop":["a"],"seed":1,"top_k":3}`))
	f.Add(false, []byte(`{"prompt":[1,2,3],"stop":"\n","stream":true,"stream_options":{"include_usage":true}}`))
	f.Add(true, []byte(`{"messages":[{"role":"user"},{"role":"assistant","content":"x"}],"continue_final_message":true,"cache_salt":"s","n":2,"logprobs":true,"top_logprobs":3,"logit_bias":{"5":-1},"response_format":{"type":"json_schema","json_schema":{"schema":{"type":"object"}}}}`))
	f.Add(true, []byte(`{"messages":null,"logit_bias":{},"response_format":{"type":"text"}}`))
	f.Fuzz(func(t *testing.T, chat bool, body []byte) {
		kind := Completion
		if chat {
			kind = Chat
		}
		g, err := ParseGeneration(kind, body)
		if err != nil {
			mustExplain(t, err)
			return
		}
		for _, m := range g.Messages {
			if strings.ContainsRune(m.Content, 0) {
				t.Errorf("a NUL got through: %q", m.Content)
			}
		}
		for _, token := range g.Tokens {
			if token < 0 {
				t.Errorf("token %d got through", token)
			}
		}
		if chat && len(g.Messages) == 0 || g.MaxTokens < 0 || len(g.Stop) > MaxStops || g.N < 1 || g.N > MaxAnswers || len(g.Salt) > MaxSaltBytes || strings.ContainsRune(g.Prompt, 0) {
			t.Errorf("%s gave %+v", body, g)
		}
	})
}

func FuzzEmbedding(f *testing.F) {
	f.Add([]byte(`{"input":["a",[1,2]],"encoding_format":"base64"}`))
	f.Add([]byte(`{"input":[1,2,3]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := ParseEmbedding(body)
		if err != nil {
			mustExplain(t, err)
			return
		}
		if len(e.Inputs) == 0 || len(e.Inputs) > MaxEmbedInputs {
			t.Errorf("%s gave %d inputs", body, len(e.Inputs))
		}
		for _, in := range e.Inputs {
			if in.Tokens == nil && (in.Text == "" || strings.ContainsRune(in.Text, 0)) || in.Tokens != nil && len(in.Tokens) == 0 {
				t.Errorf("%s gave input %+v", body, in)
			}
		}
	})
}

// mustExplain fails on an error that a client could not act on.
func mustExplain(t *testing.T, err error) {
	t.Helper()
	var e *spec.Error
	if !errors.As(err, &e) || e.Message == "" || e.Code.Lookup().Status/100 != 4 {
		t.Errorf("the error is %v", err)
	}
}
