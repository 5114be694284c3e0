package responses

import (
	"regexp"
	"strings"
)

var parameters = regexp.MustCompile(`^tools[.[](\d+)\]?\.function\.(\w+)`)

// Param is the name that the client has for a field of chat completions, of which the
// gateway or an engine has told an error. Messages are not numbered as items are.
func Param(chat string) string {
	if strings.HasPrefix(chat, "messages[") || strings.HasPrefix(chat, "messages.") {
		return "input"
	}
	switch chat {
	case "messages":
		return "input"
	case "max_tokens", "max_completion_tokens":
		return "max_output_tokens"
	case "response_format":
		return "text.format"
	case "reasoning_effort":
		return "reasoning.effort"
	}
	return parameters.ReplaceAllString(chat, "tools[$1].$2")
}
