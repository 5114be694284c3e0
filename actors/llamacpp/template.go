package llamacpp

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/lotabots/lotabots/actors/llamacpp/openai"
	"github.com/lotabots/lotabots/actors/llamacpp/prefix"
	"github.com/lotabots/lotabots/actors/llamacpp/tools"
	"github.com/lotabots/lotabots/cluster/spec"
)

// marks tell a family of chat formats by control tokens, for a model whose template llama.cpp does
// not recognise or that has none. The names are llama.cpp's. The first whose tokens are all there is taken.
var marks = []struct {
	format string
	tokens []string
}{
	{"phi4", []string{"<|im_start|>", "<|im_sep|>"}},
	{"chatml", []string{"<|im_start|>"}},
	{"llama3", []string{"<|start_header_id|>"}},
	{"llama4", []string{"<|header_start|>"}},
	{"gemma", []string{"<start_of_turn>"}},
	{"command-r", []string{"<|START_OF_TURN_TOKEN|>"}},
	{"deepseek3", []string{"<｜Assistant｜>"}},
	{"granite", []string{"<|start_of_role|>"}},
	{"gpt-oss", []string{"<|start|>", "<|channel|>"}},
	{"mistral-v7", []string{"[INST]", "[SYSTEM_PROMPT]"}},
	{"mistral-v3", []string{"[INST]"}},
	{"phi3", []string{"<|assistant|>", "<|end|>"}},
	{"zephyr", []string{"<|assistant|>"}},
}

// chatFormat is what llama.cpp shall apply: the one that was asked for, the model's own template if it is
// one that llama.cpp recognises (it knows formats, it does not run Jinja), or else the format of known
// control tokens; empty: none.
func (m *model) chatFormat(asked string) (string, error) {
	if asked != "" {
		if known := llama.ChatBuiltinTemplates(); !slices.Contains(known, asked) {
			return "", bad("chat-template", "the chat template %q is not one of llama.cpp's: %s", asked, strings.Join(known, ", "))
		}
		return asked, nil
	}
	probe := []openai.Message{{Role: "user", Content: "x"}}
	if m.template != "" {
		if _, err := render(m.template, probe, true); err == nil {
			return m.template, nil
		}
	}
	return formatOf(m.controls), nil
}

func formatOf(controls []string) string {
	for _, k := range marks {
		if !slices.ContainsFunc(k.tokens, func(t string) bool { return !slices.Contains(controls, t) }) {
			return k.format
		}
	}
	return ""
}

// chat turns messages into the prompt's tokens. The beginning of an answer follows, or, where the last
// message is to be continued, that message without its end. What must have more tokens than limit is refused before it is tokenised; 0: nothing is.
func (m *model) chat(format string, f *tools.Family, r *openai.Generation, limit int) (input, error) {
	if format == "" {
		e := spec.Errorf(spec.CodeUnsupported, "the model has no chat template that this engine knows")
		e.Param, e.Hint = "messages", "Name one of llama.cpp's by --chat-template, send a prompt to /v1/completions, or use a model with a known template"
		return input{}, e
	}
	turns, begun := r.Messages, ""
	if r.Continue {
		turns, begun = turns[:len(turns)-1], turns[len(turns)-1].Content
	}
	in := input{answered: func(answer string, calls []openai.Call) prefix.Chain {
		chain := chatChain(r)
		for _, t := range turns {
			chain = withMessage(chain, t)
		}
		return withMessage(chain, openai.Message{Role: "assistant", Content: begun + answer, Calls: calls})
	}}
	if withTools(r) {
		return in, m.chatWithTools(format, f, turns, begun, r, limit, &in)
	}
	if m.smuggles(r.Messages) {
		return in, m.chatInParts(format, turns, begun, r, limit, &in)
	}
	text, err := render(format, turns, r.Answer)
	if err != nil {
		return in, err
	}
	if err := m.exceeds("the chat", text+begun, limit); err != nil {
		return in, err
	}
	in.prompt = m.tokenize(text+begun, true, true)
	in.marks = m.chatMarks(r.Salt, turns, text, in.prompt)
	return in, nil
}

// smuggles reports whether a message spells a control token.
func (m *model) smuggles(messages []openai.Message) bool {
	for _, message := range messages {
		if m.spellsControl(message.Content) {
			return true
		}
	}
	return false
}

func (m *model) spellsControl(text string) bool {
	for _, c := range m.controls {
		if strings.Contains(text, c) {
			return true
		}
	}
	return false
}

// chatInParts tokenises the messages apart from the template, so that a control token that a message
// spells stays text and ends no turn.
func (m *model) chatInParts(format string, turns []openai.Message, begun string, r *openai.Generation, limit int, in *input) error {
	standIns := make([]openai.Message, len(turns))
	for i, message := range turns {
		standIns[i] = openai.Message{Role: message.Role, Content: fmt.Sprintf("\x01%d\x02", i)}
	}
	text, err := render(format, standIns, r.Answer)
	if err != nil {
		return err
	}
	chain := prefix.Start(prefix.Chat, r.Salt)
	var tokens []llama.Token
	for i, stand := range standIns {
		chain = chain.Message(turns[i].Role, turns[i].Content)
		before, after, found := strings.Cut(text, stand.Content)
		if !found { // a template may leave a message out
			continue
		}
		room := limit
		if limit > 0 {
			room = max(limit-len(tokens), 1)
		}
		if err := m.exceeds("a message", turns[i].Content, room); err != nil {
			return err
		}
		tokens = append(tokens, m.tokenize(before, len(tokens) == 0, true)...)
		tokens = append(tokens, m.tokenize(turns[i].Content, false, false)...)
		in.marks = append(in.marks, prefix.Mark{Name: chain.Name(), Tokens: len(tokens)})
		text = after
	}
	tokens = append(tokens, m.tokenize(text, len(tokens) == 0, true)...)
	in.prompt = append(tokens, m.tokenize(begun, false, false)...)
	return nil
}

// render applies a format to messages without NUL characters. answer: the beginning of the next answer
// follows them.
func render(format string, messages []openai.Message, answer bool) (string, error) {
	if len(messages) == 0 {
		return "", &spec.Error{Code: spec.CodeInvalidRequest, Param: "messages", Message: "no message comes before the one to be continued"}
	}
	turns := make([]llama.ChatMessage, len(messages))
	size := 512
	for i, m := range messages {
		turns[i] = llama.NewChatMessage(m.Role, m.Content)
		size += 2*len(m.Content) + 64
	}
	buffer := make([]byte, size)
	n := llama.ChatApplyTemplate(format, turns, answer, buffer)
	if int(n) > len(buffer) {
		buffer = make([]byte, n)
		n = llama.ChatApplyTemplate(format, turns, answer, buffer)
	}
	if n < 0 || int(n) > len(buffer) {
		return "", spec.Errorf(spec.CodeUnsupported, "llama.cpp does not recognise the model's chat template")
	}
	return string(buffer[:n]), nil
}
