package mockengine

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// A message is one turn of a conversation. Content is a string, or a list of parts.
type message struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

// text is what the content says; of an image it says only that there is one.
func (m message) text() string {
	var whole string
	if json.Unmarshal(m.Content, &whole) == nil {
		return whole
	}
	var parts []struct{ Type, Text string }
	_ = json.Unmarshal(m.Content, &parts)
	var b strings.Builder
	for _, p := range parts {
		if p.Type == "image_url" {
			p.Text = "(an image)"
		}
		b.WriteString(p.Text)
	}
	return b.String()
}

// A tool is a function that the mock may call.
type tool struct {
	Function struct {
		Name       string          `json:"name"`
		Parameters json.RawMessage `json:"parameters"`
	} `json:"function"`
}

// A format is response_format.
type format struct {
	Type   string `json:"type"`
	Schema struct {
		Schema json.RawMessage `json:"schema"`
	} `json:"json_schema"`
}

// A toolCall is one call of a tool, in OpenAI's form.
type toolCall struct {
	ID        string
	Name      string
	Arguments string
}

// A reply is what the mock answers: pieces of text, or calls of tools.
type reply struct {
	pieces []string // a token each
	calls  []toolCall
	reason string
	n      int // tokens
}

// reply makes the answer. Tools that are offered are called: the one that must be, those that the
// last message names, or the first; what they returned is told in the next turn. A schema is
// answered by the smallest value that it allows.
func (e *Engine) reply(q question) reply {
	last := message{}
	if len(q.Messages) > 0 {
		last = q.Messages[len(q.Messages)-1]
	}
	if last.Role == "tool" {
		return said("The tools said: "+strings.Join(results(q.Messages), ", ")+".", " ", q)
	}
	if calls := calls(q, last.text()); len(calls) > 0 {
		return reply{calls: calls, reason: "tool_calls", n: 4 * len(calls)}
	}
	switch q.ResponseFormat.Type {
	case "json_schema":
		return said(sample(q.ResponseFormat.Schema.Schema), ",", q)
	case "json_object":
		return said(`{"mock": true}`, " ", q)
	}
	if at := strings.Index(last.text(), "Say: "); at >= 0 {
		return said(last.text()[at+len("Say: "):], " ", q)
	}
	n, reason := q.tokens(e.config.Tokens)
	pieces := make([]string, n)
	for i := range pieces {
		pieces[i] = fmt.Sprintf(" t%d", i)
	}
	return reply{pieces: pieces, reason: reason, n: n}
}

// said answers a text, a token for what ends with a stop, as far as the request allows.
func said(text, stop string, q question) reply {
	pieces := strings.SplitAfter(text, stop)
	n, reason := q.tokens(len(pieces))
	return reply{pieces: pieces[:n], reason: reason, n: n}
}

// results are what the tools of the last turn returned.
func results(messages []message) []string {
	var out []string
	for _, m := range slices.Backward(messages) {
		if m.Role != "tool" {
			break
		}
		out = append(out, m.text())
	}
	slices.Reverse(out)
	return out
}

// calls decides which tools are called.
func calls(q question, asked string) []toolCall {
	var forced struct {
		Function struct{ Name string } `json:"function"`
	}
	choice := ""
	if json.Unmarshal(q.ToolChoice, &choice) != nil {
		_ = json.Unmarshal(q.ToolChoice, &forced)
	}
	if len(q.Tools) == 0 || choice == "none" {
		return nil
	}
	var picked []tool
	for _, t := range q.Tools {
		switch {
		case forced.Function.Name == t.Function.Name, forced.Function.Name == "" && strings.Contains(asked, t.Function.Name):
			picked = append(picked, t)
		}
	}
	if len(picked) == 0 {
		picked = q.Tools[:1]
	}
	if q.ParallelToolCalls != nil && !*q.ParallelToolCalls {
		picked = picked[:1]
	}
	out := make([]toolCall, len(picked))
	for i, t := range picked {
		out[i] = toolCall{ID: fmt.Sprintf("call_%d", i), Name: t.Function.Name, Arguments: sample(t.Function.Parameters)}
	}
	return out
}
