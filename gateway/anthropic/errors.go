package anthropic

import (
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/chat"
	"github.com/lotabots/lotabots/gateway/openai"
)

// TypeOf returns Anthropic's error type for a code.
func TypeOf(code spec.Code) string {
	switch status := code.Lookup().Status; {
	case status == 401:
		return "authentication_error"
	case status == 403:
		return "permission_error"
	case status == 404:
		return "not_found_error"
	case status == 413:
		return "request_too_large"
	case status == 429:
		return "rate_limit_error"
	case status == 503, status == 529:
		return "overloaded_error"
	case status == 504:
		return "timeout_error"
	case status >= 400 && status < 500:
		return "invalid_request_error"
	default:
		return "api_error"
	}
}

// AppendError appends the error object of this API, with what else the gateway tells:
//
//	{"type":"error","error":{"type","message","code","param","hint","errors":[{"param","message"}]},"request_id"}
func AppendError(dst []byte, e *spec.Error, requestID string, problems []openai.Problem) []byte {
	dst = append(append(dst, `{"type":"error","error":{"type":"`...), TypeOf(e.Code)...)
	dst = chat.AppendString(append(dst, `","message":`...), e.Message)
	dst = chat.AppendString(append(dst, `,"code":`...), string(e.Code))
	if e.Param != "" {
		dst = chat.AppendString(append(dst, `,"param":`...), e.Param)
	}
	dst = chat.AppendString(append(dst, `,"hint":`...), e.Advice())
	dst = chat.AppendString(append(dst, `,"doc_url":`...), openai.DocURL(e.Code))
	if e.EngineCode != "" {
		dst = chat.AppendString(append(dst, `,"engine_code":`...), e.EngineCode)
	}
	if len(problems) > 0 {
		dst = append(dst, `,"errors":[`...)
		for i, p := range problems {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = chat.AppendString(append(dst, `{"param":`...), p.Param)
			dst = chat.AppendString(append(dst, `,"message":`...), p.Message)
			dst = append(dst, '}')
		}
		dst = append(dst, ']')
	}
	dst = chat.AppendString(append(dst, `},"request_id":`...), requestID)
	return append(dst, '}')
}

// names are the client's for fields of chat completions. Messages are not numbered as
// the client's are: the prompt of the system is one of a chat's.
var names = []chat.Rename{
	{Chat: "messages", Client: "messages", Whole: true}, {Chat: "prompt", Client: "messages", Whole: true},
	{Chat: "continue_final_message", Client: "messages", Whole: true}, {Chat: "add_generation_prompt", Client: "messages", Whole: true},
	{Chat: "tools[].function.parameters", Client: "tools[].input_schema"}, {Chat: "tools[].function", Client: "tools[]"},
	{Chat: "tool_choice.function", Client: "tool_choice"}, {Chat: "parallel_tool_calls", Client: "tool_choice.disable_parallel_tool_use"},
	{Chat: "stop", Client: "stop_sequences"}, {Chat: "max_completion_tokens", Client: "max_tokens"}, {Chat: "user", Client: "metadata.user_id"},
	{Chat: "response_format.json_schema", Client: "output_config.format"}, {Chat: "response_format", Client: "output_config.format"},
	{Chat: "reasoning_effort", Client: "output_config.effort"}, {Chat: "stream_options", Client: "stream", Whole: true},
}

// Param is the name that the client has for a field of chat completions, of which the
// gateway or an engine has told an error.
func Param(field string) string { return chat.Param(names, field) }

// Renamed is e with the client's names for fields.
func Renamed(e *spec.Error) *spec.Error { return chat.Renamed(names, e) }
