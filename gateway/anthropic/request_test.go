package anthropic

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/openai"
)

// said puts fields behind those that every body needs.
func said(more string) string {
	return `{"model":"m","max_tokens":9,` + more + `}`
}

const hi = `"messages":[{"role":"user","content":"hi"}]`

// got is the beginning of what said becomes, for a user who says hi.
const got = `{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":9`

func TestTranslate(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"the least", said(hi), got + "}"},
		{"a system prompt stands first", said(hi + `,"system":"be kind"`),
			`{"model":"m","messages":[{"role":"system","content":"be kind"},{"role":"user","content":"hi"}],"max_tokens":9}`},
		{"in blocks, with marks for a cache", said(`"system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},{"type":"text","text":"b"}],` + hi),
			`{"model":"m","messages":[{"role":"system","content":"a\nb"},{"role":"user","content":"hi"}],"max_tokens":9}`},
		{"settings", said(hi + `,"temperature":0.25,"top_p":1,"top_k":40,"stop_sequences":["END","\n"],"metadata":{"user_id":"u"},"stream":true,"service_tier":"auto"`),
			got + `,"temperature":0.25,"top_p":1,"top_k":40,"stop":["END","\n"],"user":"u","stream":true,"stream_options":{"include_usage":true}}`},
		{"what engines know beside", said(hi + `,"seed":7,"min_p":0.1,"chat_template_kwargs":{"a":1},"thinking":{"type":"disabled"}`),
			got + `,"seed":7,"min_p":0.1,"chat_template_kwargs":{"a":1}}`},
		{"nulls", said(hi + `,"system":null,"tools":null,"thinking":null,"temperature":null,"stream":null`), got + "}"},
		{"an answer that is begun", said(`"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"text","text":"The best"}]}]`),
			`{"model":"m","messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"The best"}],"max_tokens":9,"continue_final_message":true,"add_generation_prompt":false}`},
		{"turns of one role are one", said(`"messages":[{"role":"user","content":"a"},{"role":"user","content":[{"type":"text","text":"b"}]}]`),
			`{"model":"m","messages":[{"role":"user","content":"a\nb"}],"max_tokens":9}`},
		{"images", said(`"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"QUI="}},{"type":"image","source":{"type":"url","url":"https://x/y"}},{"type":"text","text":"what?"}]}]`),
			`{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,QUI="}},{"type":"image_url","image_url":{"url":"https://x/y"}},{"type":"text","text":"what?"}]}],"max_tokens":9}`},
		{"documents", said(`"messages":[{"role":"user","content":[{"type":"document","title":"T","source":{"type":"text","media_type":"text/plain","data":"D"}},` +
			`{"type":"document","source":{"type":"content","content":[{"type":"text","text":"E"}]}},{"type":"search_result","title":"S","source":"https://s","content":[{"type":"text","text":"F"}]}]}]`),
			`{"model":"m","messages":[{"role":"user","content":"T\nD\nE\nS\nhttps://s\nF"}],"max_tokens":9}`},
		{"tools", said(hi + `,"tools":[{"name":"f","description":"does","input_schema":{"type":"object","properties":{"a":{"type":"integer","minimum":1.0}}},"cache_control":{"type":"ephemeral"}},` +
			`{"type":"custom","name":"g","input_schema":{"type":"object"},"strict":true}],"tool_choice":{"type":"any","disable_parallel_tool_use":true}`),
			got + `,"tools":[{"type":"function","function":{"name":"f","description":"does","parameters":{"type":"object","properties":{"a":{"type":"integer","minimum":1.0}}}}},` +
				`{"type":"function","function":{"name":"g","parameters":{"type":"object"},"strict":true}}],"tool_choice":"required","parallel_tool_calls":false}`},
		{"one tool", said(`"tool_choice":{"type":"tool","name":"f"},"tools":[{"name":"f","input_schema":{}}],` + hi),
			`{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":9,"tools":[{"type":"function","function":{"name":"f","parameters":{}}}],"tool_choice":{"type":"function","function":{"name":"f"}}}`},
		{"a choice of no tools", said(hi + `,"tool_choice":{"type":"auto"}`), got + "}"},
		{"calls and results", said(`"messages":[{"role":"user","content":"hi"},` +
			`{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"redacted_thinking","data":"x"},{"type":"text","text":"well"},{"type":"tool_use","id":"t1","name":"f","input":{"a":"b"}}]},` +
			`{"role":"user","content":[{"type":"text","text":"and?"},{"type":"tool_result","tool_use_id":"t1","is_error":true,"content":[{"type":"text","text":"no"},{"type":"image","source":{"type":"url","url":"u"}}]}]}]`),
			`{"model":"m","messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"well","reasoning_content":"hm","tool_calls":[{"id":"t1","type":"function","function":{"name":"f","arguments":"{\"a\":\"b\"}"}}]},` +
				`{"role":"tool","tool_call_id":"t1","content":"Error: no"},{"role":"user","content":[{"type":"image_url","image_url":{"url":"u"}},{"type":"text","text":"and?"}]}],"max_tokens":9}`},
		{"thinking", said(hi + `,"thinking":{"type":"enabled","budget_tokens":1024},"output_config":{"effort":"max"}`),
			got + `,"chat_template_kwargs":{"enable_thinking":true,"thinking":true},"reasoning_effort":"high"}`},
		{"no thinking", said(hi + `,"thinking":{"type":"disabled"}`), got + `,"chat_template_kwargs":{"enable_thinking":false,"thinking":false}}`},
		{"a schema", said(hi + `,"output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}`),
			got + `,"response_format":{"type":"json_schema","json_schema":{"name":"answer","strict":true,"schema":{"type":"object"}}}}`},
	} {
		q, err := Translate([]byte(c.in))
		if err != nil || len(q.Problems) > 0 {
			t.Errorf("%s: %v %v", c.name, err, q.Problems)
			continue
		}
		if string(q.Chat) != c.want {
			t.Errorf("%s:\n%s\n%s", c.name, q.Chat, c.want)
		}
	}
}

// TestProblems are all told, by the names that the client has for its fields.
func TestProblems(t *testing.T) {
	for in, want := range map[string][]string{
		`{}`: {"model", "max_tokens", "messages"},
		`{"model":"","max_tokens":0,"messages":[]}`:                                     {"model", "max_tokens", "messages"},
		`{"model":"m","model":"n","max_tokens":1.5,"messages":7}`:                       {"model", "max_tokens", "messages"},
		said(hi + `,"temperature":3,"top_p":-1,"top_k":"x","stream":1`):                 {"temperature", "top_p", "top_k", "stream"},
		said(hi + `,"stop_sequences":["",7],"system":7,"metadata":[]`):                  {"stop_sequences[0]", "stop_sequences[1]", "metadata", "system"},
		said(hi + `,"system":[{"type":"image"},7]`):                                     {"system[0].type", "system[1]"},
		said(hi + `,"thinking":{"type":"enabled"},"output_config":{"effort":"wild"}`):   {"thinking.budget_tokens", "output_config.effort"},
		said(hi + `,"thinking":{"type":"x"},"output_config":{"format":{"type":"y"}}`):   {"thinking.type", "output_config.format.type"},
		said(hi + `,"mcp_servers":[{}],"container":"c","response_format":{},"n":2`):     {"mcp_servers", "container", "response_format", "n"},
		said(hi + `,"tool_choice":{"type":"any"}`):                                      {"tool_choice"},
		said(hi + `,"tool_choice":{"type":"tool"},"tools":[{"name":"f"},7]`):            {"tool_choice.name", "tools[0].input_schema", "tools[1]"},
		said(hi + `,"tools":[{"type":"web_search_20250305","name":"web_search"},{}]`):   {"tools[0].type", "tools[1].name", "tools[1].input_schema"},
		said(`"messages":[{"role":"assistant","content":"x"}]`):                         {"messages"},
		said(`"messages":[7,{"role":"king","content":"x"},{"role":"user"},{}]`):         {"messages[0]", "messages[1].role", "messages[2].content", "messages[3].content"},
		said(`"messages":[{"role":"user","content":[]},{"role":"user","content":8}]`):   {"messages[0].content", "messages[1].content", "messages[1].content"},
		said(`"messages":[{"role":"user","content":[{"type":"text"},{"type":"x"},7]}]`): {"messages[0].content[0].text", "messages[0].content[1].type", "messages[0].content[2]"},
		said(`"messages":[{"role":"user","content":[{"type":"image"},{"type":"image","source":{"type":"file"}},{"type":"image","source":{"type":"base64"}}]}]`): {
			"messages[0].content[0].source", "messages[0].content[1].source.type", "messages[0].content[2].source.media_type", "messages[0].content[2].source.data"},
		said(`"messages":[{"role":"user","content":[{"type":"document","source":{"type":"base64"}},{"type":"tool_result"}]}]`): {
			"messages[0].content[1].tool_use_id", "messages[0].content[0].source.type"},
		said(`"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"image","source":{}}]}]}]`): {"messages[0].content[0].content[0].source.type"},
		said(`"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"tool_use","input":7}]}]`): {
			"messages[1].content[0].id", "messages[1].content[0].name", "messages[1].content[0].input"},
	} {
		q, err := Translate([]byte(in))
		var params []string
		for _, p := range q.Problems {
			params = append(params, p.Param)
		}
		if err != nil || !slices.Equal(params, want) || q.Chat != nil {
			t.Errorf("%s: %v %v, want %v", in, err, q.Problems, want)
		}
	}
}

func TestCountsNeedNoMaxTokens(t *testing.T) {
	q, err := TranslateCount([]byte(`{"model":"m",` + hi + `,"stream":true}`))
	if err != nil || len(q.Problems) > 0 || string(q.Chat) != `{"model":"m","messages":[{"role":"user","content":"hi"}]}` {
		t.Errorf("%v %v %s", err, q.Problems, q.Chat)
	}
}

func TestWhatIsNoObject(t *testing.T) {
	for _, body := range []string{"", "null", "[]", `{"model":}`, `{"a":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + "}"} {
		if _, err := Translate([]byte(body)); err == nil || err.Code != spec.CodeInvalidJSON {
			t.Errorf("%.20q: %v", body, err)
		}
	}
}

func FuzzTranslate(f *testing.F) {
	f.Add([]byte(said(hi + `,"system":"x","tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"any"}`)))
	f.Add([]byte(said(`"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"\ud800","content":"\u0000"}]},{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"b","input":{"x":1e9}}]}]`)))
	f.Add([]byte(`{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"\"","data":"\\"}}]}],"zz":{"":[]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if c, err := TranslateCount(body); err == nil && (c.Chat == nil) != (len(c.Problems) > 0) {
			t.Fatalf("%s with %v", c.Chat, c.Problems)
		}
		q, err := Translate(body)
		if err != nil {
			return
		}
		if len(q.Problems) > 0 {
			if q.Chat != nil {
				t.Fatal("a body with problems is passed on")
			}
			return
		}
		var doc struct {
			Model    string
			Messages []struct{ Role string }
		}
		if err := json.Unmarshal(q.Chat, &doc); err != nil {
			t.Fatalf("%s: %v", q.Chat, err)
		}
		if doc.Model == "" || len(doc.Messages) == 0 {
			t.Fatalf("%s", q.Chat)
		}
		var r openai.Request
		if err := r.Check(openai.Chat, q.Chat); err != nil {
			t.Fatalf("%s: %v", q.Chat, err)
		}
	})
}

// TestParam turns what an engine says of a chat's field into the client's word for it.
func TestParam(t *testing.T) {
	for in, want := range map[string]string{"stop": "stop_sequences", "tools[2].function.parameters.x": "tools[2].input_schema.x", "tools.0.function.parameters": "tools[0].input_schema",
		"temperature": "temperature", "messages[1].content": "messages", "tool_choice.function.name": "tool_choice.name", "tools[0].function.name": "tools[0].name",
		"response_format.json_schema.schema": "output_config.format.schema", "reasoning_effort": "output_config.effort", "user": "metadata.user_id", "prompt": "messages"} {
		if got := Param(in); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

func TestErrors(t *testing.T) {
	for code, class := range spec.Catalogue {
		kind := TypeOf(code)
		if server := class.Status >= 500; server != (kind == "api_error" || kind == "overloaded_error" || kind == "timeout_error") {
			t.Errorf("%s with status %d is an %s", code, class.Status, kind)
		}
	}
	var doc struct {
		Type  string
		Error struct {
			Type, Message, Code, Param, Hint string
			Errors                           []openai.Problem
		}
		RequestID string `json:"request_id"`
	}
	e := &spec.Error{Code: spec.CodeBodyTooLarge, Message: "Too \"large\".", Param: "stop"}
	if err := json.Unmarshal(AppendError(nil, e, "r\n", []openai.Problem{{Param: "a", Message: "b"}}), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Type != "error" || doc.Error.Type != "request_too_large" || doc.Error.Message != e.Message || doc.RequestID != "r\n" || doc.Error.Param != "stop" ||
		doc.Error.Hint == "" || len(doc.Error.Errors) != 1 {
		t.Errorf("%+v", doc)
	}
}
