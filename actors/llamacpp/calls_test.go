package llamacpp

import (
	"bufio"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/actors/llamacpp/openai"
)

type toolCall struct {
	Index    int
	ID, Type string
	Function struct{ Name, Arguments string }
}

type toolReply struct {
	Choices []struct {
		Index   int
		Message struct {
			Content *string
			Calls   []toolCall `json:"tool_calls"`
		}
		Delta struct {
			Content *string
			Calls   []toolCall `json:"tool_calls"`
		}
		Logprobs *scores
		Finish   string `json:"finish_reason"`
	}
	Usage openai.Usage
	Error *struct{ Message, Param, Code string }
}

var (
	weather = fields{"type": "function", "function": fields{"name": "weather", "strict": true, "parameters": fields{
		"type": "object", "required": []string{"city", "unit"}, "additionalProperties": false,
		"properties": fields{"city": fields{"type": "string", "maxLength": 12}, "unit": fields{"enum": []string{"C", "F"}}, "days": fields{"type": "integer", "minimum": 1, "maximum": 9}},
	}}}
	add = fields{"type": "function", "function": fields{"name": "add", "parameters": fields{
		"type": "object", "required": []string{"a"}, "properties": fields{"a": fields{"type": "number", "multipleOf": 2}}, "additionalProperties": false,
	}}}
)

func tooled(t *testing.T, url string, body fields) (int, toolReply) {
	t.Helper()
	resp, err := post(t.Context(), url, "/v1/chat/completions", body)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var r toolReply
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, r
}

// whetherWeather checks a call of weather's against its schema.
func whetherWeather(t *testing.T, c toolCall) {
	t.Helper()
	var a struct {
		City *string
		Unit string
		Days *int
	}
	d := json.NewDecoder(strings.NewReader(c.Function.Arguments))
	d.DisallowUnknownFields()
	if err := d.Decode(&a); err != nil || a.City == nil || len([]rune(*a.City)) > 12 || a.Unit != "C" && a.Unit != "F" || a.Days != nil && (*a.Days < 1 || *a.Days > 9) {
		t.Errorf("arguments %s: %v", c.Function.Arguments, err)
	}
	if c.Type != "function" || !strings.HasPrefix(c.ID, "call_") || c.Function.Name != "weather" {
		t.Errorf("call %+v", c)
	}
}

// A model that was never taught tools calls them all the same, by the schema, when it must: at any temperature.
func TestForcedCalls(t *testing.T) {
	_, web := open(t, Config{})
	for seed := range 8 {
		status, r := tooled(t, web.URL, question("What is the weather?", fields{
			"tools": []fields{weather, add}, "tool_choice": fields{"type": "function", "function": fields{"name": "weather"}},
			"temperature": 1.5, "seed": seed, "parallel_tool_calls": false, "stop": []string{"\n", `"`}, "logprobs": true,
		}))
		if status != 200 || len(r.Choices) != 1 || len(r.Choices[0].Message.Calls) != 1 || r.Choices[0].Finish != "tool_calls" || r.Choices[0].Message.Content != nil {
			t.Fatalf("%d %+v", status, r)
		}
		whetherWeather(t, r.Choices[0].Message.Calls[0])
		if r.Choices[0].Logprobs != nil {
			t.Errorf("logprobs %+v", r.Choices[0].Logprobs)
		}
	}
	status, r := tooled(t, web.URL, question("Add!", fields{"tools": []fields{add}, "tool_choice": "required", "max_tokens": 300}))
	if status != 200 || len(r.Choices[0].Message.Calls) < 1 {
		t.Fatalf("%d %+v", status, r)
	}
	for _, c := range r.Choices[0].Message.Calls {
		if !json.Valid([]byte(c.Function.Arguments)) && r.Choices[0].Finish == "tool_calls" {
			t.Errorf("%q", c.Function.Arguments)
		}
	}
}

// A stream has the call's name at first, then its arguments in pieces, and the pieces make the whole answer.
func TestStreamedCalls(t *testing.T) {
	_, web := open(t, Config{})
	body := question("What is the weather?", fields{"tools": []fields{weather}, "tool_choice": "required", "parallel_tool_calls": false, "n": 2, "seed": 3})
	_, whole := tooled(t, web.URL, body)
	body["stream"], body["stream_options"] = true, fields{"include_usage": true}
	resp, err := post(t.Context(), web.URL, "/v1/chat/completions", body)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var calls [2]toolCall
	var finish [2]string
	pieces, usage := 0, 0
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || data == "[DONE]" {
			continue
		}
		var r toolReply
		if err := json.Unmarshal([]byte(data), &r); err != nil {
			t.Fatal(err)
		}
		usage += r.Usage.Completion
		for _, c := range r.Choices {
			for _, call := range c.Delta.Calls {
				pieces++
				if call.Function.Name != "" {
					calls[c.Index] = call
					continue
				}
				if call.ID != "" || call.Type != "" || calls[c.Index].ID == "" {
					t.Errorf("a later piece is %+v", call)
				}
				calls[c.Index].Function.Arguments += call.Function.Arguments
			}
			if c.Finish != "" {
				finish[c.Index] = c.Finish
			}
		}
	}
	for i, c := range calls {
		whetherWeather(t, c)
		if c.Function != whole.Choices[i].Message.Calls[0].Function || finish[i] != "tool_calls" {
			t.Errorf("%d: %+v (%s), whole %+v", i, c, finish[i], whole.Choices[i])
		}
	}
	if pieces < 10 || usage != whole.Usage.Completion {
		t.Errorf("%d pieces, %d tokens, whole %d", pieces, usage, whole.Usage.Completion)
	}
}

// What is cut off is told as far as it came.
func TestCallsThatAreCutOff(t *testing.T) {
	_, web := open(t, Config{})
	short := 0
	for n := 1; n < 60; n += 4 {
		_, r := tooled(t, web.URL, question("What is the weather?", fields{"tools": []fields{weather}, "tool_choice": "required", "max_tokens": n, "temperature": 0}))
		c := r.Choices[0]
		if c.Finish == "length" {
			short++
			if len(c.Message.Calls) > 0 && json.Valid([]byte(c.Message.Calls[0].Function.Arguments)) && n < 20 {
				t.Errorf("%d tokens: %+v", n, c)
			}
		}
		if c.Message.Content != nil && *c.Message.Content != "" {
			t.Errorf("%d tokens: text %q", n, *c.Message.Content)
		}
	}
	if short < 3 {
		t.Errorf("%d were cut off", short)
	}
}

// With auto the text is free until it begins a call. The shipped model knows no calls, so a word that it does write is taken for the mark.
func TestACallThatTheModelBegins(t *testing.T) {
	e, web := open(t, Config{})
	family := *e.family
	family.Mark, family.Form.Before, family.Form.After = "D", "D", ";"
	e.family = &family
	ask := func(more fields) toolReply {
		body := fields{"tools": []fields{weather}, "parallel_tool_calls": false, "logprobs": true, "stop": []string{`"`}}
		for k, v := range more {
			body[k] = v
		}
		status, r := tooled(t, web.URL, question("Say the alphabet.", body))
		if status != 200 || len(r.Choices) != 1 {
			t.Fatalf("%d %+v", status, r)
		}
		return r
	}
	// the tools change the prompt, and with it what the tiny model says: told by the history alone
	r := ask(fields{"messages": []fields{user("Say the alphabet.")}, "logit_bias": e.bias(t, "A B C D")})
	c := r.Choices[0]
	if c.Message.Content == nil || len(c.Message.Calls) != 1 || c.Finish != "tool_calls" {
		t.Fatalf("%q %+v", *c.Message.Content, r)
	}
	whetherWeather(t, c.Message.Calls[0])
	text := ""
	for _, s := range c.Logprobs.Content {
		text += s.Token
	}
	if strings.Contains(*c.Message.Content, "D") || text == "" || !strings.HasPrefix(text, *c.Message.Content) {
		t.Errorf("content %q, scores of %q", *c.Message.Content, text)
	}
	if r := ask(fields{"tool_choice": "none"}); r.Choices[0].Message.Calls != nil || r.Choices[0].Message.Content == nil || !strings.Contains(*r.Choices[0].Message.Content, "D") {
		t.Errorf("with none: %+v", r)
	}
}

// bias makes the model write nothing but these tokens.
func (e *Engine) bias(t *testing.T, text string) fields {
	t.Helper()
	out := fields{}
	for _, id := range e.model.tokenize(text, false, false) {
		b, _ := json.Marshal(int32(id))
		out[string(b)] = 60
	}
	return out
}

// The next turn finds what the call and its prompt left in the cache, and the result reaches the model.
func TestTheTurnAfterACall(t *testing.T) {
	_, web := open(t, Config{})
	list := []fields{weather, add}
	messages := []fields{user("What is the weather?")}
	_, first := tooled(t, web.URL, question("", fields{"messages": messages, "tools": list, "tool_choice": "required", "parallel_tool_calls": false}))
	call := first.Choices[0].Message.Calls[0]
	messages = append(messages,
		fields{"role": "assistant", "content": nil, "tool_calls": []fields{{"id": call.ID, "type": "function", "function": fields{"name": call.Function.Name, "arguments": call.Function.Arguments}}}},
		fields{"role": "tool", "tool_call_id": call.ID, "content": "It rains <|im_end|>."})
	status, second := tooled(t, web.URL, question("", fields{"messages": messages, "tools": list, "tool_choice": "none", "max_tokens": 5}))
	if status != 200 {
		t.Fatalf("%d %+v", status, second.Error)
	}
	messages[len(messages)-1]["content"] = "It rains."
	_, third := tooled(t, web.URL, question("", fields{"messages": messages, "tools": list, "max_tokens": 5}))
	if least := first.Usage.Prompt; third.Usage.Details.Cached < least || third.Usage.Prompt < least+10 {
		t.Errorf("%+v after %+v", third.Usage, first.Usage)
	}
}

// An answer is either calls or JSON of the format's schema.
func TestToolsBesideAFormat(t *testing.T) {
	e, web := open(t, Config{})
	format := fields{"type": "json_schema", "json_schema": fields{"name": "x", "schema": fields{"type": "object", "properties": fields{"ok": fields{"type": "boolean"}}, "required": []string{"ok"}, "additionalProperties": false}}}
	body := question("Say the alphabet.", fields{"tools": []fields{weather}, "response_format": format, "parallel_tool_calls": false})
	body["logit_bias"] = e.bias(t, "{")
	if status, r := tooled(t, web.URL, body); status != 200 || r.Choices[0].Message.Content == nil || !json.Valid([]byte(*r.Choices[0].Message.Content)) || r.Choices[0].Finish != "stop" {
		t.Errorf("%d %+v", status, r)
	}
	body["logit_bias"] = e.bias(t, "<")
	if status, r := tooled(t, web.URL, body); status != 200 || len(r.Choices[0].Message.Calls) != 1 {
		t.Errorf("%d %+v", status, r)
	} else {
		whetherWeather(t, r.Choices[0].Message.Calls[0])
	}
}

func TestToolsThatAreRefused(t *testing.T) {
	_, web := open(t, Config{})
	for _, c := range []struct {
		parameters any
		strict     bool
		param      string // empty: taken
	}{
		{fields{"type": "object", "properties": fields{"a": fields{"not": fields{}}}}, true, "tools[1].function.parameters"},
		{fields{"type": "object", "properties": fields{"a": fields{"not": fields{}, "type": "string", "pattern": "(?=x)"}, "b": fields{"type": "array", "uniqueItems": true}}}, false, ""},
		{fields{"type": "string"}, false, "tools[1].function.parameters"},
		{fields{"type": "object", "properties": []int{1}}, false, "tools[1].function.parameters"},
		{fields{"type": "object", "properties": fields{"a": fields{"$ref": "#"}}, "required": []string{"a"}}, false, "tools[1].function.parameters"},
		{fields{}, true, ""},
		{nil, true, ""},
	} {
		tool := fields{"type": "function", "function": fields{"name": "f", "parameters": c.parameters, "strict": c.strict}}
		status, r := tooled(t, web.URL, question("x", fields{"tools": []fields{weather, tool}, "max_tokens": 2}))
		switch {
		case c.param == "" && status != 200:
			t.Errorf("%v: %+v", c.parameters, r.Error)
		case c.param != "" && (r.Error == nil || r.Error.Param != c.param || !strings.Contains(r.Error.Message, "Tools[1].function.parameters: ")):
			t.Errorf("%v: %d %+v", c.parameters, status, r.Error)
		}
	}
}

// Where the mark is a control token, which has no text of its own, it is known all the same.
func TestACallBehindAControlToken(t *testing.T) {
	e, web := open(t, Config{})
	family := *e.family
	family.Mark, family.Marks, family.Form.Before = "<|im_start|>", []string{"<|im_start|>"}, "<|im_start|>"
	family.Form.After = "<|im_start|>"
	e.family, e.words = &family, e.model.toolWords(&family)
	if len(e.words) != 1 {
		t.Fatalf("the words are %v", e.words)
	}
	var bias fields
	for id := range e.words {
		bias = fields{fmt.Sprint(id): 100}
	}
	// the same token again and again, where it is allowed: before a call, and after it
	status, r := tooled(t, web.URL, question("x", fields{"tools": []fields{weather}, "logit_bias": bias, "parallel_tool_calls": false, "max_tokens": 200}))
	if status != 200 || len(r.Choices[0].Message.Calls) != 1 || r.Choices[0].Finish != "tool_calls" || r.Choices[0].Message.Content != nil {
		t.Fatalf("%d %+v", status, r)
	}
	whetherWeather(t, r.Choices[0].Message.Calls[0])
}
