package llamacpp

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/lotabots/lotabots/actors/llamacpp/grammar"
	"github.com/lotabots/lotabots/actors/llamacpp/openai"
	"github.com/lotabots/lotabots/actors/llamacpp/prefix"
	"github.com/lotabots/lotabots/actors/llamacpp/tools"
	"github.com/lotabots/lotabots/cluster/spec"
)

// A caller is how the answers to a request may call its tools.
type caller struct {
	family *tools.Family
	words  map[llama.Token][]byte // control tokens that are words of a call
	calls  *grammar.Calls
	choice openai.ToolChoice
	// whole is the grammar of the whole answer; empty: text is free until it begins a call.
	whole string
}

// caller is nil where the request has no tools that may be called.
func (e *Engine) caller(r *openai.Generation) (*caller, error) {
	if len(r.Tools) == 0 || r.ToolChoice.Must == openai.NoCall {
		return nil, nil
	}
	var functions []grammar.Function
	for i, t := range r.Tools {
		if r.ToolChoice.Name == "" || r.ToolChoice.Name == t.Name {
			functions = append(functions, grammar.Function{Name: t.Name, Parameters: t.Parameters, Strict: t.Strict, At: fmt.Sprintf("tools[%d].function", i)})
		}
	}
	c := &caller{family: e.family, words: e.words, choice: r.ToolChoice}
	var err error
	if c.calls, err = grammar.NewCalls(e.family.Form, functions); err != nil {
		return nil, err
	}
	var other json.RawMessage
	switch {
	case r.ToolChoice.Must == openai.MustCall:
	case r.Grammar == "": // llama.cpp is asked now whether it takes what it may be given later
		whole, err := c.calls.Whole(r.ToolChoice.Once, nil)
		if err != nil {
			return nil, err
		}
		return c, taken(whole, "tools", e.model)
	case e.family.AtStart:
		return nil, &spec.Error{
			Code: spec.CodeUnsupported, Param: "response_format", Message: "a model of this family calls tools by JSON, which response_format cannot be told from",
			Hint: "Leave response_format or tools away, or let tool_choice decide",
		}
	default:
		other = r.Schema
	}
	c.whole, err = c.calls.Whole(r.ToolChoice.Once, other)
	return c, err
}

// taken reports how llama.cpp likes a grammar.
func taken(text, param string, m *model) error {
	if _, err := guarded(text, param); err != nil {
		return err
	}
	s := llama.SamplerInitGrammar(m.vocab, text, "root")
	if s == 0 {
		return refusedGrammar(param)
	}
	llama.SamplerFree(s)
	return nil
}

// guarded is the guard of a grammar, which llama.cpp is not given where that reports an error.
func guarded(text, param string) (*grammar.Guard, error) {
	g, err := grammar.NewGuard(text)
	if err != nil {
		return nil, tooAmbiguous(param, err)
	}
	return g, nil
}

func tooAmbiguous(param string, err error) error {
	return &spec.Error{
		Code: spec.CodeUnsupported, Param: param, Message: "the grammar of this JSON schema would take too long: " + err.Error(), Err: err,
		Hint: "Make the schema simpler: fewer alternatives that begin alike, fewer repetitions of what may be empty",
	}
}

func refusedGrammar(param string) error {
	return &spec.Error{
		Code: spec.CodeUnsupported, Param: param, Message: "llama.cpp does not take the grammar of this JSON schema",
		Hint: "Make the schema simpler: fewer repetitions, less nesting",
	}
}

// spell is a token's text, a call's words included.
func (c *caller) spell(m *model, t llama.Token) []byte {
	if c != nil {
		if word, ok := c.words[t]; ok {
			return word
		}
	}
	return m.piece(t)
}

// parser reads one answer.
func (c *caller) parser() *tools.Parser {
	if c == nil {
		return nil
	}
	return c.family.NewParser(c.choice.Must == openai.MustCall, func() string { return "call_" + rand.Text() })
}

// begins makes the grammar of a call, where the next token completes what a call begins with.
func (c *chooser) begins(t llama.Token) error {
	piece := c.caller.spell(c.model, t)
	n, ok := c.watch.Completes(piece)
	if !ok || !utf8.Valid(piece[:n]) {
		c.watch.Push(piece)
		return nil
	}
	text := c.caller.calls.After(string(piece[:n]), c.caller.family.Mark, c.caller.choice.Once)
	return c.keepTo(text)
}

// replay takes a token that was chosen elsewhere, by the same rules.
func (c *chooser) replay(t llama.Token) error {
	if c.grammar == 0 && c.watch != nil {
		if err := c.begins(t); err != nil {
			return err
		}
	}
	if c.grammar != 0 {
		if err := c.bounded(); err != nil {
			return err
		}
		if one := []llama.TokenData{{Id: t}}; !possible(c.apply(c.grammar, one)[0]) {
			return &spec.Error{Code: spec.CodeInvalidRequest, Param: "continuation.token_ids", Message: "the tokens do not keep to the request's grammar"}
		}
		c.accept(t)
	}
	llama.SamplerAccept(c.chain, t)
	return nil
}

// calling reports whether the next token can belong to nothing but a call.
func (c *chooser) calling() bool {
	return c.caller != nil && c.grammar != 0 && (c.watch != nil || c.caller.choice.Must == openai.MustCall)
}

// toolWords are the control tokens by which the family's calls are written.
func (m *model) toolWords(f *tools.Family) map[llama.Token][]byte {
	words := map[llama.Token][]byte{}
	for i, text := range m.controls {
		for _, mark := range f.Marks {
			if text == mark {
				words[m.controlTokens[i]] = []byte(mark)
			}
		}
	}
	return words
}

// withTools reports whether a chat has tools to tell, or calls of them.
func withTools(r *openai.Generation) bool {
	if len(r.Tools) > 0 && r.ToolChoice.Must != openai.NoCall {
		return true
	}
	for _, m := range r.Messages {
		if len(m.Calls) > 0 || m.Role == "tool" {
			return true
		}
	}
	return false
}

// chatWithTools renders a chat in the family's form. begun is what follows it.
func (m *model) chatWithTools(format string, f *tools.Family, turns []openai.Message, begun string, r *openai.Generation, limit int, in *input) error {
	shown := r.Tools
	if r.ToolChoice.Must == openai.NoCall {
		shown = nil
	}
	p, err := f.Prompt(f.Turns(turns, shown), shown, func(messages []openai.Message) (string, error) {
		return render(format, messages, r.Answer)
	})
	if err != nil {
		return err
	}
	if begun != "" {
		p.Parts = append(p.Parts, tools.Part{Text: begun})
	}
	counts, err := m.tokenizeParts(p.Parts, limit, in)
	if err != nil {
		return err
	}
	chain := chatChain(r)
	for i, t := range turns {
		chain = withMessage(chain, t)
		if end := p.Ends[i]; end > 0 {
			in.marks = append(in.marks, prefix.Mark{Name: chain.Name(), Tokens: counts[end]})
		}
	}
	in.marks = withTokens(in.marks)
	return nil
}

// tokenizeParts gives the prompt's tokens, and how many there are before each part. Where no client spells a control
// token the whole is split at once, as models have seen it.
func (m *model) tokenizeParts(parts []tools.Part, limit int, in *input) ([]int, error) {
	counts, text, apart := make([]int, len(parts)+1), strings.Builder{}, false
	ends := make([]int, len(parts)+1)
	for i, p := range parts {
		text.WriteString(p.Text)
		ends[i+1] = text.Len()
		apart = apart || !p.Mark && m.spellsControl(p.Text)
	}
	if err := m.exceeds("the chat with its tools", text.String(), limit); err != nil {
		return nil, err
	}
	if !apart {
		in.prompt = m.tokenize(text.String(), true, true)
		copy(counts[1:], m.tokensBefore(in.prompt, ends[1:]))
		return counts, nil
	}
	for i, p := range parts {
		in.prompt = append(in.prompt, m.tokenize(p.Text, i == 0, p.Mark)...)
		counts[i+1] = len(in.prompt)
	}
	return counts, nil
}

// chatChain is the beginning of a chat's names: its salt, and the tools it is told.
func chatChain(r *openai.Generation) prefix.Chain {
	chain := prefix.Start(prefix.Chat, r.Salt)
	if r.ToolChoice.Must != openai.NoCall {
		for _, t := range r.Tools {
			chain = chain.Message("tools", string(t.Raw))
		}
	}
	return chain
}

// withMessage adds a message with its calls.
func withMessage(chain prefix.Chain, m openai.Message) prefix.Chain {
	text := m.Content
	for _, c := range m.Calls {
		text += "\x00" + c.Name + "\x00" + c.Arguments
	}
	return chain.Message(m.Role, text)
}
