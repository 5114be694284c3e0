package llamacpp

import (
	"context"
	"strconv"
	"time"
	"unicode"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/lotabots/lotabots/actors/llamacpp/openai"
	"github.com/lotabots/lotabots/cluster/spec"
)

// What llama.cpp needs to tokenise a text is about a hundred times the text's bytes, and it cannot be told to stop: so
// a text is judged by its bytes before.
const (
	// flatBytes, or flatPerToken for each token of the context where that is more, are read of one request at most.
	flatBytes    = 1 << 20
	flatPerToken = 16
	// heavyBytes are what is tokenised beside other such texts; larger ones take turns.
	heavyBytes = 64 << 10
	// maxSigning bounds how long one text may be tokenised without the engine being taken for hung.
	maxSigning = 2 * time.Minute
)

// most is how many bytes of text an engine with so long a context looks at.
func most(context int) int { return max(flatBytes, flatPerToken*context) }

// A cover is what a vocabulary tells of how few tokens a text may have.
type cover struct {
	longest int  // bytes that one token stands for at most; 0: not known, or a token may stand for any number of bytes
	strips  bool // some tokens swallow the white space beside them
}

// coverOf is asked of the vocabulary once. Those that normalise a text, or have one token for all that is unknown, tell
// nothing; neither does one of bytes that lacks a byte, which is left out then.
func (m *model) coverOf(texts []string, attrs []llama.TokenAttr) (c cover) {
	bytes := map[rune]bool{}
	for t, text := range texts {
		// a text in the vocabulary is never shorter than what it stands for: a byte is one character there or more
		if len(text) > c.longest {
			c.longest = max(c.longest, len(m.pieceOf(llama.Token(t), true)))
		}
		c.strips = c.strips || attrs[t]&(llama.TokenAttrLstrip|llama.TokenAttrRstrip) != 0
		if r := []rune(text); len(r) == 1 {
			bytes[r[0]] = true
		}
	}
	c.longest = max(c.longest, len("\U0010ffff")) // an unknown character is a token
	switch llama.GetVocabType(m.vocab) {
	case llama.VocabTypeSPM:
	case llama.VocabTypeBPE:
		for b := range 256 {
			if utf8Byte(b) && !bytes[bpeRune(b)] {
				return cover{}
			}
		}
	default:
		return cover{}
	}
	return c
}

// utf8Byte tells whether a byte occurs in UTF-8.
func utf8Byte(b int) bool { return b != 0xc0 && b != 0xc1 && b < 0xf5 }

// bpeRune is the character by which byte-level vocabularies write a byte: itself where it can be printed, and otherwise
// one of those from U+0100, in the order of the bytes.
func bpeRune(b int) rune {
	shown := func(b int) bool { return b >= '!' && b <= '~' || b >= 0xa1 && b != 0xad }
	if shown(b) {
		return rune(b)
	}
	n := rune(0)
	for other := range b {
		if !shown(other) {
			n++
		}
	}
	return 0x100 + n
}

// exceeds tells whether the text must have more than so many tokens.
func (c cover) exceeds(text string, tokens int) bool {
	if c.longest == 0 || len(text) <= tokens*c.longest {
		return false
	}
	if !c.strips {
		return true
	}
	n := 0
	for i := range len(text) {
		if text[i] > unicode.MaxASCII || !unicode.IsSpace(rune(text[i])) {
			n++
		}
	}
	return n > tokens*c.longest
}

// exceeds refuses a text that cannot have as few tokens as tokens; 0: any number will do.
func (m *model) exceeds(what, text string, tokens int) error {
	if tokens == 0 || !m.cover.exceeds(text, tokens) {
		return nil
	}
	return spec.Errorf(spec.CodeContextLength, "%s has %d bytes, which are more than %d tokens of this model, %d bytes at most each",
		what, len(text), tokens, m.cover.longest)
}

// tooLarge refuses more bytes than are looked at.
func tooLarge(what string, bytes, context int) error {
	if bytes <= most(context) {
		return nil
	}
	e := spec.Errorf(spec.CodeContextLength, "%s has %d bytes; for a context of %d tokens this engine reads %d at most", what, bytes, context, most(context))
	e.Hint = "Send less text, or start the engine with a longer context"
	return e
}

// textBytes are those of all that a request has the model read, tools and calls included.
func textBytes(r *openai.Generation) int {
	n := len(r.Prompt)
	for _, m := range r.Messages {
		n += len(m.Content) + len(m.Role) + len(m.CallID)
		for _, c := range m.Calls {
			n += len(c.Name) + len(c.Arguments)
		}
	}
	for _, t := range r.Tools {
		n += len(t.Raw)
	}
	return n
}

// bounded refuses what is too large to be rendered and tokenised.
func (e *Engine) bounded(r *openai.Generation) error {
	if len(r.Tokens) > most(e.context) {
		return &spec.Error{Code: spec.CodeContextLength, Param: "prompt", Message: "the prompt has " + strconv.Itoa(len(r.Tokens)) + " tokens"}
	}
	what := "the prompt"
	if r.Kind == openai.Chat {
		what = "the chat with its tools"
	}
	return tooLarge(what, textBytes(r), e.context)
}

// reading runs f, which tokenises so many bytes. Large texts take turns, for the memory's sake, and meanwhile the
// engine shows that it is at work.
func (e *Engine) reading(ctx context.Context, bytes int, f func() error) error {
	if bytes <= heavyBytes {
		return f()
	}
	select {
	case e.turns <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-e.quit.Done():
		return spec.Errorf(spec.CodeDraining, "the engine is stopping")
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		e.sign(stop)
	}()
	defer func() {
		close(stop)
		<-stopped
		<-e.turns
	}()
	return f()
}

// sign counts steps until stop is closed, or it has gone on for too long.
func (e *Engine) sign(stop <-chan struct{}) {
	tick := time.NewTicker(signEvery)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < maxSigning; {
		select {
		case <-tick.C:
			e.embSteps.Add(1)
		case <-stop:
			return
		}
	}
}

// embedTokens are those of an embedding's inputs, each of which must fit.
func (e *Engine) embedTokens(ctx context.Context, inputs []openai.Input, capacity int) (texts [][]llama.Token, err error) {
	bytes := 0
	for _, in := range inputs {
		if err := fits(e.model, "an input", in.Text, capacity); err != nil {
			return nil, err
		}
		bytes += len(in.Text)
	}
	texts = make([][]llama.Token, len(inputs))
	err = e.reading(ctx, bytes, func() (err error) {
		for i, in := range inputs {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if in.Tokens != nil {
				if texts[i], err = e.model.checked("input", in.Tokens); err != nil {
					return err
				}
			} else {
				texts[i] = e.model.tokenize(in.Text, true, false)
			}
			if n := len(texts[i]); n > capacity {
				return tooLong("an input", n, capacity)
			} else if n == 0 {
				return &spec.Error{Code: spec.CodeInvalidRequest, Param: "input", Message: "an input has no tokens"}
			}
		}
		return nil
	})
	return texts, err
}

// pairTokens are those of a query with each document.
func (e *Engine) pairTokens(ctx context.Context, r *openai.Rerank, capacity int) (texts [][]llama.Token, total int, err error) {
	const what = "the query with a document"
	bytes := 0
	for _, d := range r.Documents {
		if err := tooLarge(what, len(r.Query)+len(d), capacity); err != nil {
			return nil, 0, err
		}
		for _, text := range []string{r.Query, d} {
			if err := e.model.exceeds(what, text, capacity); err != nil {
				return nil, 0, err
			}
		}
		bytes += len(r.Query) + len(d)
	}
	texts = make([][]llama.Token, len(r.Documents))
	err = e.reading(ctx, bytes, func() error {
		for i, d := range r.Documents {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if texts[i] = e.model.pair(r.Query, d); len(texts[i]) > capacity {
				return tooLong(what, len(texts[i]), capacity)
			}
			total += len(texts[i])
		}
		return nil
	})
	return texts, total, err
}

func fits(m *model, what, text string, tokens int) error {
	if err := tooLarge(what, len(text), tokens); err != nil {
		return err
	}
	return m.exceeds(what, text, tokens)
}
