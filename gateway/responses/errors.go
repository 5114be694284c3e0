package responses

import (
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/chat"
)

// names are the client's for fields of chat completions. Messages are not numbered as
// items are.
var names = []chat.Rename{
	{Chat: "messages", Client: "input", Whole: true}, {Chat: "prompt", Client: "input", Whole: true},
	{Chat: "tools[].function", Client: "tools[]"}, {Chat: "tool_choice.function", Client: "tool_choice"},
	{Chat: "max_tokens", Client: "max_output_tokens"}, {Chat: "max_completion_tokens", Client: "max_output_tokens"},
	{Chat: "response_format.json_schema", Client: "text.format"}, {Chat: "response_format", Client: "text.format"},
	{Chat: "reasoning_effort", Client: "reasoning.effort"}, {Chat: "verbosity", Client: "text.verbosity"},
	{Chat: "logprobs", Client: "top_logprobs", Whole: true}, {Chat: "stream_options", Client: "stream", Whole: true},
}

// Param is the name that the client has for a field of chat completions, of which the
// gateway or an engine has told an error.
func Param(field string) string { return chat.Param(names, field) }

// Renamed is e with the client's names for fields.
func Renamed(e *spec.Error) *spec.Error { return chat.Renamed(names, e) }

// Behind has Failed tell of a failure behind so many events of an engine's own.
func (s *Shape) Behind(events int) { s.stream.sequence = max(s.stream.sequence, events) }
