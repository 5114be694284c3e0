package llamacpp

import (
	"fmt"
	"strings"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/lotabots/lotabots/actors/llamacpp/openai"
	"github.com/lotabots/lotabots/cluster/spec"
)

// marks tell a family of chat formats by a control token, for a model whose template llama.cpp does
// not recognise or that has none. The names are llama.cpp's.
var marks = []struct{ token, format string }{
	{"<|im_start|>", "chatml"},
	{"<|start_header_id|>", "llama3"},
	{"<start_of_turn>", "gemma"},
	{"<|START_OF_TURN_TOKEN|>", "command-r"},
	{"[INST]", "mistral-v7"},
	{"<|assistant|>", "zephyr"},
}

// chatFormat is what llama.cpp shall apply: the model's own template if it is one that llama.cpp
// recognises (it knows formats, it does not run Jinja), or else the format of a known control token;
// empty: none.
func (m *model) chatFormat() string {
	probe := []openai.Message{{Role: "user", Content: "x"}}
	if m.template != "" {
		if _, err := render(m.template, probe); err == nil {
			return m.template
		}
	}
	for _, k := range marks {
		for _, c := range m.controls {
			if c == k.token {
				return k.format
			}
		}
	}
	return ""
}

// chat turns messages into the prompt's tokens, the beginning of the answer included.
func (m *model) chat(format string, messages []openai.Message) ([]llama.Token, error) {
	if format == "" {
		e := spec.Errorf(spec.CodeUnsupported, "the model has no chat template that this engine knows")
		e.Param, e.Hint = "messages", "Send a prompt to /v1/completions, or use a model with a known template"
		return nil, e
	}
	if !m.smuggles(messages) {
		text, err := render(format, messages)
		if err != nil {
			return nil, err
		}
		return m.tokenize(text, true, true), nil
	}
	return m.chatInParts(format, messages)
}

// smuggles reports whether a message spells a control token.
func (m *model) smuggles(messages []openai.Message) bool {
	for _, message := range messages {
		for _, c := range m.controls {
			if strings.Contains(message.Content, c) {
				return true
			}
		}
	}
	return false
}

// chatInParts tokenises the messages apart from the template, so that a control token that a message
// spells stays text and ends no turn.
func (m *model) chatInParts(format string, messages []openai.Message) ([]llama.Token, error) {
	standIns := make([]openai.Message, len(messages))
	for i, message := range messages {
		standIns[i] = openai.Message{Role: message.Role, Content: fmt.Sprintf("\x01%d\x02", i)}
	}
	text, err := render(format, standIns)
	if err != nil {
		return nil, err
	}
	var tokens []llama.Token
	for i, in := range standIns {
		before, after, found := strings.Cut(text, in.Content)
		if !found { // a template may leave a message out
			continue
		}
		tokens = append(tokens, m.tokenize(before, len(tokens) == 0, true)...)
		tokens = append(tokens, m.tokenize(messages[i].Content, false, false)...)
		text = after
	}
	return append(tokens, m.tokenize(text, len(tokens) == 0, true)...), nil
}

// render applies a format to messages without NUL characters.
func render(format string, messages []openai.Message) (string, error) {
	turns := make([]llama.ChatMessage, len(messages))
	size := 512
	for i, m := range messages {
		turns[i] = llama.NewChatMessage(m.Role, m.Content)
		size += 2*len(m.Content) + 64
	}
	buffer := make([]byte, size)
	n := llama.ChatApplyTemplate(format, turns, true, buffer)
	if int(n) > len(buffer) {
		buffer = make([]byte, n)
		n = llama.ChatApplyTemplate(format, turns, true, buffer)
	}
	if n < 0 || int(n) > len(buffer) {
		return "", spec.Errorf(spec.CodeUnsupported, "llama.cpp does not recognise the model's chat template")
	}
	return string(buffer[:n]), nil
}
