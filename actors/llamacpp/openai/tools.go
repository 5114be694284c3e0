package openai

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Bounds of a request's tools.
const (
	MaxTools    = 128
	MaxToolName = 64
)

// A Tool is a function that the model may call.
type Tool struct {
	Name       string
	Parameters json.RawMessage // JSON schema; empty: any object
	Strict     bool            // the schema is kept to in full, or the request is refused
	Raw        json.RawMessage // as the request has it
}

// A Call is one that the model has made.
type Call struct {
	ID        string
	Name      string
	Arguments string // JSON, as the model wrote it: it may have been cut off
}

// Must says whether tools are to be called.
type Must uint8

// What tool_choice says.
const (
	MayCall  Must = iota // as the model likes
	MustCall             // one of Tools at least
	NoCall               // the tools are not shown to the model
)

// A ToolChoice is what the model may and must call.
type ToolChoice struct {
	Must Must
	Name string // with MustCall: this one alone; empty: any
	Once bool   // at most one call
}

type toolFields struct {
	Tools    json.RawMessage `json:"tools"`
	Choice   json.RawMessage `json:"tool_choice"`
	Parallel *bool           `json:"parallel_tool_calls"`
}

type toolBody struct {
	Type     string          `json:"type"`
	Function json.RawMessage `json:"function"`
}

type functionBody struct {
	Name        string          `json:"name"`
	Description *string         `json:"description"`
	Parameters  json.RawMessage `json:"parameters"`
	Strict      *bool           `json:"strict"`
}

// parse reads what may be called, and how.
func (f *toolFields) parse(g *Generation) (err error) {
	if g.Kind == Completion {
		if !isNull(f.Tools) && string(f.Tools) != "[]" {
			return refuse("tools", "a completion has no tools; use /v1/chat/completions")
		}
		return nil
	}
	if g.Tools, err = parseTools(f.Tools); err != nil {
		return err
	}
	if g.ToolChoice, err = parseToolChoice(f.Choice, g.Tools); err != nil {
		return err
	}
	g.ToolChoice.Once = f.Parallel != nil && !*f.Parallel
	if g.Continue && len(g.Messages[len(g.Messages)-1].Calls) > 0 {
		return refuse("continue_final_message", "a message that calls tools cannot be continued")
	}
	if g.ToolChoice.Must == MustCall && g.Continue {
		return refuse("tool_choice", "a message that is continued cannot be made a call of tools")
	}
	return nil
}

func parseTools(raw json.RawMessage) ([]Tool, error) {
	if isNull(raw) {
		return nil, nil
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return nil, invalid("tools", "tools must be a list of objects")
	}
	if len(list) > MaxTools {
		return nil, invalid("tools", "tools has %d entries; at most %d", len(list), MaxTools)
	}
	tools, seen := make([]Tool, len(list)), map[string]bool{}
	for i, raw := range list {
		at := fmt.Sprintf("tools[%d]", i)
		t, err := parseTool(raw, at)
		if err != nil {
			return nil, err
		}
		if seen[t.Name] {
			return nil, invalid(at+".function.name", "two tools have the name %q", t.Name)
		}
		seen[t.Name] = true
		tools[i] = t
	}
	return tools, nil
}

func parseTool(raw json.RawMessage, at string) (Tool, error) {
	var b toolBody
	if json.Unmarshal(raw, &b) != nil {
		return Tool{}, invalid(at, "%s must be an object with type and function", at)
	}
	if b.Type != "function" {
		return Tool{}, refuse(at+".type", "%s has the type %q; the embedded engine has function only", at, b.Type)
	}
	if isNull(b.Function) {
		return Tool{}, invalid(at+".function", "%s.function is missing", at)
	}
	at += ".function"
	var f functionBody
	if err := json.Unmarshal(b.Function, &f); err != nil {
		return Tool{}, invalid(at, "%s must be an object with name, and description, parameters and strict of their types", at)
	}
	if !validName(f.Name) {
		return Tool{}, invalid(at+".name", "%s.name is %q; it must have 1 to %d letters, digits, underscores, dashes or dots", at, f.Name, MaxToolName)
	}
	t := Tool{Name: f.Name, Strict: f.Strict != nil && *f.Strict, Raw: raw}
	if !isNull(f.Parameters) {
		t.Parameters = f.Parameters
	}
	return t, noNUL(at, decoded(raw))
}

// decoded has a NUL where a string of the JSON has one.
func decoded(raw json.RawMessage) string {
	if strings.Contains(string(raw), `\u0000`) {
		return "\x00"
	}
	return ""
}

func validName(name string) bool {
	if name == "" || len(name) > MaxToolName {
		return false
	}
	for _, c := range []byte(name) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.') {
			return false
		}
	}
	return true
}

func parseToolChoice(raw json.RawMessage, tools []Tool) (ToolChoice, error) {
	if isNull(raw) {
		return ToolChoice{}, nil
	}
	var word string
	if json.Unmarshal(raw, &word) == nil {
		switch {
		case word == "auto":
			return ToolChoice{}, nil
		case word == "none":
			return ToolChoice{Must: NoCall}, nil
		case word == "required" && len(tools) == 0:
			return ToolChoice{}, invalid("tool_choice", "tool_choice is required, and there are no tools")
		case word == "required":
			return ToolChoice{Must: MustCall}, nil
		}
		return ToolChoice{}, invalid("tool_choice", "tool_choice is %q; it must be none, auto, required, or an object that names a function", word)
	}
	var named struct {
		Type     string `json:"type"`
		Function struct {
			Name string `json:"name"`
		} `json:"function"`
	}
	if json.Unmarshal(raw, &named) != nil || named.Type != "function" {
		return ToolChoice{}, invalid("tool_choice", "tool_choice must be none, auto, required, or an object of the type function that names one")
	}
	for _, t := range tools {
		if t.Name == named.Function.Name {
			return ToolChoice{Must: MustCall, Name: t.Name}, nil
		}
	}
	return ToolChoice{}, invalid("tool_choice.function.name", "tool_choice names the function %q, which is not among tools", named.Function.Name)
}

type callBody struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

// parseCalls reads the calls that an assistant's message of the history has made.
func parseCalls(raw json.RawMessage, at string) ([]Call, error) {
	if isNull(raw) {
		return nil, nil
	}
	var bodies []callBody
	if json.Unmarshal(raw, &bodies) != nil {
		return nil, invalid(at, "%s must be a list of calls, with function.arguments as a string", at)
	}
	if len(bodies) > MaxTools {
		return nil, invalid(at, "%s has %d entries; at most %d", at, len(bodies), MaxTools)
	}
	calls := make([]Call, len(bodies))
	for i, b := range bodies {
		at := fmt.Sprintf("%s[%d]", at, i)
		if b.Type != "function" && b.Type != "" {
			return nil, refuse(at+".type", "%s has the type %q; the embedded engine has function only", at, b.Type)
		}
		if !validName(b.Function.Name) {
			return nil, invalid(at+".function.name", "%s.function.name is %q; it must be a function's", at, b.Function.Name)
		}
		if err := noNUL(at, b.ID+b.Function.Arguments); err != nil {
			return nil, err
		}
		calls[i] = Call{ID: b.ID, Name: b.Function.Name, Arguments: b.Function.Arguments}
	}
	return calls, nil
}
