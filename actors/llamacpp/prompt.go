package llamacpp

import (
	"context"
	"strings"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/lotabots/lotabots/actors/llamacpp/openai"
	"github.com/lotabots/lotabots/actors/llamacpp/prefix"
	"github.com/lotabots/lotabots/cluster/spec"
)

// An input is what a request gives the model to read.
type input struct {
	prompt []llama.Token
	marks  []prefix.Mark // beginnings of the prompt, by rising count of tokens
	// answered names the conversation once the answer is there; nil: not a chat.
	answered func(answer string, calls []openai.Call) prefix.Chain
}

// input tokenises what a request has the model read, which bounded has looked at. One that must have more tokens than
// limit is refused before; 0: there is no limit.
func (e *Engine) input(ctx context.Context, r *openai.Generation, limit int) (in input, err error) {
	err = e.reading(ctx, textBytes(r), func() (err error) {
		in, err = e.read(r, limit)
		return err
	})
	return in, err
}

func (e *Engine) read(r *openai.Generation, limit int) (in input, err error) {
	switch {
	case r.Kind == openai.Chat:
		in, err = e.model.chat(e.format, e.family, r, limit)
	case r.Tokens != nil:
		if in.prompt, err = e.model.checked("prompt", r.Tokens); err == nil {
			in.marks = tokenMarks(r.Salt, r.Tokens)
		}
	default:
		if err = e.model.exceeds("the prompt", r.Prompt, limit); err != nil {
			return in, err
		}
		in.prompt = e.model.tokenize(r.Prompt, true, true)
		in.marks = e.model.textMarks(r.Salt, r.Prompt, in.prompt)
	}
	if err == nil && len(in.prompt) == 0 {
		err = &spec.Error{Code: spec.CodeInvalidRequest, Param: "prompt", Message: "the prompt has no tokens"}
	}
	return in, err
}

func tokenMarks(salt string, tokens []int32) (marks []prefix.Mark) {
	chain := prefix.Start(prefix.Tokens, salt)
	for n := prefix.TokenBlock; n <= min(len(tokens), prefix.MaxBlocks*prefix.TokenBlock); n += prefix.TokenBlock {
		chain = chain.TokenBlock(tokens[n-prefix.TokenBlock : n])
		if prefix.Announced(n / prefix.TokenBlock) {
			marks = append(marks, prefix.Mark{Name: chain.Name(), Tokens: n})
		}
	}
	return marks
}

func (m *model) textMarks(salt, text string, tokens []llama.Token) (marks []prefix.Mark) {
	chain := prefix.Start(prefix.Text, salt)
	ends := []int{}
	for n := prefix.TextBlock; n <= min(len(text), prefix.MaxBlocks*prefix.TextBlock); n += prefix.TextBlock {
		chain = chain.Block([]byte(text[n-prefix.TextBlock : n]))
		if prefix.Announced(n / prefix.TextBlock) {
			marks, ends = append(marks, prefix.Mark{Name: chain.Name()}), append(ends, n)
		}
	}
	for i, n := range m.tokensBefore(tokens, ends) {
		marks[i].Tokens = n
	}
	return withTokens(marks)
}

// chatMarks names the beginning up to the end of each message, as far as the rendered text shows it.
func (m *model) chatMarks(salt string, messages []openai.Message, text string, tokens []llama.Token) (marks []prefix.Mark) {
	chain := prefix.Start(prefix.Chat, salt)
	ends, at := []int{}, 0
	for _, message := range messages {
		chain = chain.Message(message.Role, message.Content)
		content := strings.TrimSpace(message.Content) // templates trim
		found := strings.Index(text[at:], content)
		if found < 0 || content == "" {
			continue
		}
		at += found + len(content)
		marks, ends = append(marks, prefix.Mark{Name: chain.Name()}), append(ends, at)
	}
	for i, n := range m.tokensBefore(tokens, ends) {
		marks[i].Tokens = n
	}
	return withTokens(marks)
}

// withTokens leaves out what is too short to have a token of its own.
func withTokens(marks []prefix.Mark) []prefix.Mark {
	out, last := marks[:0], 0
	for _, k := range marks {
		if k.Tokens > last {
			out, last = append(out, k), k.Tokens
		}
	}
	return out
}

// tokensBefore is how many of a text's tokens end at or before each of the rising byte offsets. A token
// that stands for no text, such as the beginning's, counts as nothing, and a space that a vocabulary puts
// before the text may shift the count by one.
func (m *model) tokensBefore(tokens []llama.Token, ends []int) []int {
	counts := make([]int, len(ends))
	bytes, next := 0, 0
	for i, t := range tokens {
		if next == len(ends) {
			break
		}
		if i > 0 || t != m.begin {
			bytes += m.width(t)
		}
		for next < len(ends) && bytes > ends[next] {
			counts[next] = i
			next++
		}
	}
	for ; next < len(ends); next++ {
		counts[next] = len(tokens)
	}
	return counts
}

// announce tells which beginnings of its prompt a slot holds, once it has read it.
func (g *generator) announce(s *slot) {
	if s.work.told {
		return
	}
	s.work.told = true
	known := 0
	if n := len(s.marks); n > 0 {
		known = s.marks[n-1].Tokens
	}
	for _, k := range s.work.marks {
		if k.Tokens > known && k.Tokens <= len(s.held) {
			s.marks = append(s.marks, k)
			g.prefixes.Add(k)
		}
	}
}

// announceAnswer adds the conversation with its answer, which the next turn begins with.
func (g *generator) announceAnswer(s *slot) {
	w := s.work
	if w.answered == nil {
		return
	}
	k := prefix.Mark{Name: w.answered(w.said()).Name(), Tokens: len(s.held)}
	s.marks = append(s.marks, k)
	g.prefixes.Add(k)
}
