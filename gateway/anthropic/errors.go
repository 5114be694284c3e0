package anthropic

import (
	"regexp"
	"strings"

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
	hint := e.Hint
	if hint == "" {
		hint = e.Code.Lookup().Remedy
	}
	dst = append(append(dst, `{"type":"error","error":{"type":"`...), TypeOf(e.Code)...)
	dst = chat.AppendString(append(dst, `","message":`...), e.Message)
	dst = chat.AppendString(append(dst, `,"code":`...), string(e.Code))
	if e.Param != "" {
		dst = chat.AppendString(append(dst, `,"param":`...), e.Param)
	}
	dst = chat.AppendString(append(dst, `,"hint":`...), hint)
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

var parameters = regexp.MustCompile(`^tools[.[](\d+)\]?\.function\.parameters`)

// Param is the name that the client has for a field of chat completions, of which the
// gateway or an engine has told an error. Messages are not numbered as the client's are.
func Param(chat string) string {
	if strings.HasPrefix(chat, "messages[") || strings.HasPrefix(chat, "messages.") {
		return "messages"
	}
	switch chat {
	case "stop":
		return "stop_sequences"
	case "max_completion_tokens":
		return "max_tokens"
	case "response_format":
		return "output_config.format"
	case "reasoning_effort":
		return "output_config.effort"
	case "continue_final_message", "add_generation_prompt":
		return "messages"
	case "parallel_tool_calls":
		return "tool_choice.disable_parallel_tool_use"
	}
	return parameters.ReplaceAllString(chat, "tools[$1].input_schema")
}
