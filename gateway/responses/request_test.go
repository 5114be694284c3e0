package responses

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/openai"
)

const head = `{"model":"m","messages":[{"role":"user","content":"hi"}]`

func TestTranslate(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"the least", `{"model":"m","input":"hi"}`, head + "}"},
		{"instructions", `{"input":"hi","instructions":"be kind","model":"m","store":true,"truncation":"auto","include":["reasoning.encrypted_content"]}`,
			`{"model":"m","messages":[{"role":"system","content":"be kind"},{"role":"user","content":"hi"}]}`},
		{"settings", `{"model":"m","input":"hi","temperature":0.10,"top_p":1,"max_output_tokens":16,"user":"u","metadata":{"a":"b"},"reasoning":{"effort":"low","summary":"auto"},"seed":3,"stream":true,"background":false,"previous_response_id":null}`,
			head + `,"temperature":0.10,"top_p":1,"max_tokens":16,"user":"u","reasoning_effort":"low","seed":3,"stream":true,"stream_options":{"include_usage":true}}`},
		{"items", `{"model":"m","input":[{"role":"developer","content":"d"},{"type":"message","role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_image","image_url":"u","detail":"low"}]},{"role":"user","content":"b"},` +
			`{"type":"reasoning","id":"rs","summary":[],"content":[{"type":"reasoning_text","text":"hm"}]},{"id":"msg","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"c","annotations":[]}]},` +
			`{"type":"function_call","id":"fc","call_id":"c1","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c1","output":"r"}]}`,
			`{"model":"m","messages":[{"role":"system","content":"d"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"u","detail":"low"}}]},{"role":"user","content":"b"},` +
				`{"role":"assistant","content":"c","reasoning_content":"hm","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c1","content":"r"}]}`},
		{"results in parts", `{"model":"m","input":[{"type":"function_call_output","call_id":"c","output":[{"type":"input_text","text":"x"},{"type":"input_text","text":"y"},{"type":"input_image","image_url":"u"}]}]}`,
			`{"model":"m","messages":[{"role":"tool","tool_call_id":"c","content":"x\ny"},{"role":"user","content":[{"type":"image_url","image_url":{"url":"u"}}]}]}`},
		{"tools", `{"model":"m","input":"hi","tools":[{"type":"function","name":"f","description":"d","parameters":{"type":"object"},"strict":true},{"type":"function","name":"g","parameters":null,"strict":false}],"tool_choice":"required","parallel_tool_calls":false}`,
			head + `,"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"},"strict":true}},{"type":"function","function":{"name":"g"}}],"tool_choice":"required","parallel_tool_calls":false}`},
		{"one tool", `{"model":"m","input":"hi","tools":[{"type":"function","name":"f"}],"tool_choice":{"type":"function","name":"f"}}`,
			head + `,"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"function","function":{"name":"f"}}}`},
		{"some tools", `{"model":"m","input":"hi","tools":[{"type":"function","name":"f"},{"type":"function","name":"g"},{"type":"function","name":"h"}],"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"g"}]}}`,
			head + `,"tools":[{"type":"function","function":{"name":"g"}}],"tool_choice":"auto"}`},
		{"no tools", `{"model":"m","input":"hi","tools":[],"tool_choice":"auto","parallel_tool_calls":true}`, head + "}"},
		{"a schema", `{"model":"m","input":"hi","text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"},"strict":true},"verbosity":"low"}}`,
			head + `,"verbosity":"low","response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"type":"object"}}}}`},
		{"JSON", `{"model":"m","input":"hi","text":{"format":{"type":"json_object"}}}`, head + `,"response_format":{"type":"json_object"}}`},
		{"logprobs", `{"model":"m","input":"hi","include":["message.output_text.logprobs"],"top_logprobs":2}`, head + `,"logprobs":true,"top_logprobs":2}`},
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

func TestProblems(t *testing.T) {
	for in, want := range map[string][]string{
		`{}`:                     {"input", "model"},
		`{"model":7,"input":[]}`: {"model", "input"},
		`{"model":"m","input":"x","model":"y","stream":1,"temperature":9,"top_p":"x","max_output_tokens":0,"top_logprobs":21}`: {"model", "stream", "temperature", "top_p", "max_output_tokens", "top_logprobs"},
		`{"model":"m","input":"x","messages":[],"response_format":{},"n":2,"text":7,"reasoning":[],"metadata":7,"include":7}`:  {"messages", "response_format", "n", "text", "reasoning", "metadata", "include"},
		`{"model":"m","input":[7,{"type":"web_search_call"},{"type":"item_reference","id":"x"},{"role":"king","content":"x"},{"role":"user"},{"content":"x"}]}`: {
			"input[0]", "input[1].type", "input[2].type", "input[3].role", "input[4].content", "input[5].role"},
		`{"model":"m","input":[{"role":"user","content":[{"type":"input_file"},{"type":"input_image","file_id":"f"},{"type":"input_text"},7]},{"role":"user","content":[]}]}`: {
			"input[0].content[0].type", "input[0].content[1].file_id", "input[0].content[2].text", "input[0].content[3]", "input[1].content"},
		`{"model":"m","input":[{"type":"function_call"},{"type":"function_call_output"}]}`:                             {"input[0].call_id", "input[0].name", "input[0].arguments", "input[1].call_id", "input[1].output"},
		`{"model":"m","input":"x","tools":[{"type":"web_search"},{"type":"function"},7],"tool_choice":{"type":"mcp"}}`: {"tools[0].type", "tools[1].name", "tools[2]", "tool_choice.type"},
		`{"model":"m","input":"x","tool_choice":"required"}`:                                                           {"tool_choice"},
		`{"model":"m","input":"x","tools":[{"type":"function","name":"f"}],"tool_choice":"maybe"}`:                     {"tool_choice"},
		`{"model":"m","input":"x","text":{"format":{"type":"json_schema"}}}`:                                           {"text.format.name", "text.format.schema"},
		`{"model":"m","input":"x","text":{"format":{"type":"x"}}}`:                                                     {"text.format.type"},
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

// TestWhatIsStored is not to be had, and the answer says what to do instead.
func TestWhatIsStored(t *testing.T) {
	for _, more := range []string{`"previous_response_id":"resp_1"`, `"conversation":"c"`, `"background":true`, `"prompt":{"id":"p"}`} {
		if _, err := Translate([]byte(`{"model":"m","input":"x",` + more + `}`)); err == nil || err.Code != spec.CodeUnsupported || err.Hint != sendHistory {
			t.Errorf("%s: %v", more, err)
		}
	}
	if _, err := Translate([]byte(`7`)); err == nil || err.Code != spec.CodeInvalidJSON {
		t.Error(err)
	}
}

func FuzzTranslate(f *testing.F) {
	f.Add([]byte(`{"model":"m","input":"x","tools":[{"type":"function","name":"f"}],"tool_choice":{"type":"allowed_tools"},"text":{"format":{"type":"json_schema","name":"n","schema":{}}}}`))
	f.Add([]byte(`{"model":"m","input":[{"role":"user","content":[{"type":"input_image","image_url":"\ud800"}]},{"type":"reasoning","summary":[{"text":"\u0000"}]},{"type":"function_call_output","call_id":"a","output":[]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
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
		var r openai.Request
		if err := r.Check(openai.Chat, q.Chat); err != nil {
			t.Fatalf("%s: %v", q.Chat, err)
		}
		whole, _ := q.Shape("1", 2).Whole(nil, []byte(`{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}]}`))
		if !json.Valid(whole) {
			t.Fatalf("%s", whole)
		}
	})
}
