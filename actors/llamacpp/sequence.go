package llamacpp

import (
	"context"
	"strings"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/lotabots/lotabots/actors/llamacpp/openai"
	"github.com/lotabots/lotabots/cluster/spec"
)

// A job is one request for text on its way through the generator.
type job struct {
	ctx context.Context // ends when nobody wants the answer
	input
	salt     string
	max      int // tokens to generate at most; the context's rest is within
	sampling openai.Sampling
	stops    []string
	out      *outbox
}

// A sequence is a job in a slot. The generator's goroutine owns it.
type sequence struct {
	*job
	chooser *chooser
	text    *openai.Text
	answer  strings.Builder // what was sent
	cached  int             // tokens of the prompt that the slot held already
	read    int             // tokens of the prompt that are in the cache
	chosen  int             // tokens generated
	next    llama.Token     // the last one chosen, not yet in the cache
	row     int32           // where in the batch the next token's logits are; -1: nowhere
	told    bool            // the prompt's marks are announced
}

func newSequence(j *job, cached int, m *model) *sequence {
	return &sequence{job: j, chooser: newChooser(j.sampling, m), text: openai.NewText(j.stops), cached: cached, read: cached, row: -1}
}

func (s *sequence) free() { s.chooser.free() }

func (s *sequence) reading() bool { return s.read < len(s.prompt) }

func (s *sequence) usage() openai.Usage {
	return openai.Usage{
		Prompt: len(s.prompt), Completion: s.chosen, Total: len(s.prompt) + s.chosen,
		Details: openai.PromptDetails{Cached: s.cached},
	}
}

// advance chooses the next token and reports whether it was the last.
func (s *sequence) advance(ctx llama.Context, m *model) (bool, error) {
	t := s.chooser.choose(ctx, s.row)
	if t < 0 || int32(t) >= m.tokens {
		return true, spec.Errorf(spec.CodeUpstream, "llama.cpp chose no token")
	}
	s.chosen++
	s.next = t
	if llama.VocabIsEOG(m.vocab, t) {
		s.end("stop")
		return true, nil
	}
	text, stopped := s.text.Push(m.piece(t))
	s.send(text)
	switch {
	case stopped:
		s.out.put(event{finish: "stop", usage: s.usage()})
	case s.chosen >= s.max:
		s.end("length")
	default:
		return false, nil
	}
	return true, nil
}

func (s *sequence) send(text string) {
	if text != "" {
		s.answer.WriteString(text)
		s.out.put(event{text: text})
	}
}

func (s *sequence) end(reason string) {
	s.send(s.text.Flush())
	s.out.put(event{finish: reason, usage: s.usage()})
}
