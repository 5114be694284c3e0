//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// city is a schema that no text keeps to by chance.
var city = map[string]any{
	"type": "object", "required": []string{"city", "unit"}, "additionalProperties": false,
	"properties": map[string]any{"city": map[string]any{"type": "string", "maxLength": 12}, "unit": map[string]any{"enum": []string{"C", "F"}}},
}

// TestTools: a model that was never taught tools calls one when it must, by the schema, through each API, streamed or not.
func TestTools(t *testing.T) {
	s := newShelf(t, 1)
	s.deploy("a", 400)
	s.chatCalls(false)
	s.chatCalls(true)
	s.messagesCall()
	s.responsesCall()
	s.afterACall()
	s.counts()
}

// post sends a body and reads what came, which must be well.
func (s *shelf) post(path string, body map[string]any, into any) {
	s.t.Helper()
	answer, raw, err := call(s.t.Context(), "POST", "http://"+s.api+path, s.key, body)
	if err != nil {
		s.t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: HTTP %d: %s", path, answer.StatusCode, raw)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		s.t.Fatalf("%s: %v: %s", path, err, raw)
	}
}

func (s *shelf) kept(how, name string, arguments []byte) {
	s.t.Helper()
	var a struct{ City, Unit *string }
	d := json.NewDecoder(strings.NewReader(string(arguments)))
	d.DisallowUnknownFields()
	if err := d.Decode(&a); err != nil || name != "weather" || a.City == nil || a.Unit == nil || *a.Unit != "C" && *a.Unit != "F" {
		s.t.Errorf("%s: %s(%s): %v", how, name, arguments, err)
	}
}

type toolCalls []struct {
	ID       string
	Function struct{ Name, Arguments string }
}

func chatTools() map[string]any {
	return map[string]any{
		"model": "a", "temperature": 0, "max_tokens": 400, "messages": []map[string]any{{"role": "user", "content": "How is the weather?"}},
		"tools":       []map[string]any{{"type": "function", "function": map[string]any{"name": "weather", "parameters": city, "strict": true}}},
		"tool_choice": "required", "parallel_tool_calls": false,
	}
}

func (s *shelf) chatCalls(streamed bool) {
	s.t.Helper()
	body := chatTools()
	var whole struct {
		Choices []struct {
			Message struct {
				Calls toolCalls `json:"tool_calls"`
			}
			Delta struct {
				Calls toolCalls `json:"tool_calls"`
			}
			Finish string `json:"finish_reason"`
		}
	}
	if !streamed {
		s.post("/v1/chat/completions", body, &whole)
		if c := whole.Choices; len(c) != 1 || len(c[0].Message.Calls) != 1 || c[0].Finish != "tool_calls" || c[0].Message.Calls[0].ID == "" {
			s.t.Fatalf("%+v", whole)
		}
		s.kept("chat", whole.Choices[0].Message.Calls[0].Function.Name, []byte(whole.Choices[0].Message.Calls[0].Function.Arguments))
		return
	}
	body["stream"] = true
	answer, raw, err := call(s.t.Context(), "POST", "http://"+s.api+"/v1/chat/completions", s.key, body)
	if err != nil || answer.StatusCode != http.StatusOK {
		s.t.Fatalf("%v: %s", err, raw)
	}
	name, arguments, finish := "", "", ""
	for lines := bufio.NewScanner(strings.NewReader(string(raw))); lines.Scan(); {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || data == "[DONE]" {
			continue
		}
		whole.Choices = nil
		if err := json.Unmarshal([]byte(data), &whole); err != nil {
			s.t.Fatalf("%s: %v", data, err)
		}
		for _, c := range whole.Choices {
			finish += c.Finish
			for _, call := range c.Delta.Calls {
				name += call.Function.Name
				arguments += call.Function.Arguments
			}
		}
	}
	if s.kept("a stream", name, []byte(arguments)); finish != "tool_calls" {
		s.t.Errorf("finish %q", finish)
	}
}

func (s *shelf) messagesCall() {
	s.t.Helper()
	var m struct {
		Content []struct {
			Type, Name string
			Input      json.RawMessage
		}
		Stop string `json:"stop_reason"`
	}
	s.post("/v1/messages", map[string]any{
		"model": "a", "max_tokens": 400, "temperature": 0, "messages": []map[string]any{{"role": "user", "content": "How is the weather?"}},
		"tools": []map[string]any{{"name": "weather", "input_schema": city}}, "tool_choice": map[string]any{"type": "any", "disable_parallel_tool_use": true},
	}, &m)
	if len(m.Content) != 1 || m.Content[0].Type != "tool_use" || m.Stop != "tool_use" {
		s.t.Fatalf("%+v", m)
	}
	s.kept("messages", m.Content[0].Name, m.Content[0].Input)
}

func (s *shelf) responsesCall() {
	s.t.Helper()
	var r struct {
		Output []struct{ Type, Name, Arguments string }
	}
	s.post("/v1/responses", map[string]any{
		"model": "a", "max_output_tokens": 400, "temperature": 0, "input": "How is the weather?", "parallel_tool_calls": false, "store": false,
		"tools": []map[string]any{{"type": "function", "name": "weather", "parameters": city, "strict": true}}, "tool_choice": "required",
	}, &r)
	if len(r.Output) != 1 || r.Output[0].Type != "function_call" {
		s.t.Fatalf("%+v", r)
	}
	s.kept("responses", r.Output[0].Name, []byte(r.Output[0].Arguments))
}

// afterACall goes on with a result.
func (s *shelf) afterACall() {
	s.t.Helper()
	body := chatTools()
	body["messages"] = []map[string]any{
		{"role": "user", "content": "How is the weather?"},
		{"role": "assistant", "content": nil, "tool_calls": []map[string]any{{"id": "call_1", "type": "function", "function": map[string]any{"name": "weather", "arguments": `{"city":"A","unit":"C"}`}}}},
		{"role": "tool", "tool_call_id": "call_1", "content": "It rains."},
	}
	body["tool_choice"], body["max_tokens"] = "auto", 8
	var told struct{ Choices []json.RawMessage }
	if s.post("/v1/chat/completions", body, &told); len(told.Choices) != 1 {
		s.t.Errorf("%+v", told)
	}
}

// counts holds what Messages counts beforehand against what is read then.
func (s *shelf) counts() {
	s.t.Helper()
	body := map[string]any{
		"model": "a", "messages": []map[string]any{{"role": "user", "content": "How is the weather?"}},
		"tools": []map[string]any{{"name": "weather", "input_schema": city}},
	}
	var counted struct {
		Tokens int `json:"input_tokens"`
	}
	s.post("/v1/messages/count_tokens", body, &counted)
	body["max_tokens"] = 1
	var m struct {
		Usage struct {
			Input int `json:"input_tokens"`
			Read  int `json:"cache_read_input_tokens"`
		}
	}
	if s.post("/v1/messages", body, &m); counted.Tokens == 0 || counted.Tokens != m.Usage.Input+m.Usage.Read {
		s.t.Errorf("counted %d, read %+v", counted.Tokens, m.Usage)
	}
}
