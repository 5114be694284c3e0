package llamacpp

import (
	"context"
	"math/rand/v2"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/lotabots/lotabots/actors/llamacpp/openai"
)

// A job is one request for text on its way through the generator.
type job struct {
	ctx      context.Context // ends when nobody wants the answer
	prompt   []llama.Token
	max      int // tokens to generate at most; the context's rest is within
	sampling openai.Sampling
	stops    []string
	out      *outbox
}

// A sequence is a job in a slot. The generator's goroutine owns it.
type sequence struct {
	*job
	slot    llama.SeqId
	sampler llama.Sampler
	text    *openai.Text
	read    int         // tokens of the prompt that are in the cache
	chosen  int         // tokens generated
	next    llama.Token // the last one chosen, not yet in the cache
	row     int32       // where in the batch the next token's logits are; -1: nowhere
}

func newSequence(j *job, slot int, m *model) *sequence {
	return &sequence{job: j, slot: llama.SeqId(slot), sampler: newSampler(j.sampling, m), text: openai.NewText(j.stops), row: -1}
}

func (s *sequence) reading() bool { return s.read < len(s.prompt) }

// cached is how many tokens of the sequence are in the context.
func (s *sequence) cached() int { return s.read + max(s.chosen-1, 0) }

func (s *sequence) usage() openai.Usage {
	return openai.Usage{Prompt: len(s.prompt), Completion: s.chosen, Total: len(s.prompt) + s.chosen}
}

// accept takes the next token and reports whether it was the last.
func (s *sequence) accept(t llama.Token, m *model) bool {
	s.chosen++
	s.next = t
	if llama.VocabIsEOG(m.vocab, t) {
		s.end("stop")
		return true
	}
	text, stopped := s.text.Push(m.piece(t))
	if text != "" {
		s.out.put(event{text: text})
	}
	switch {
	case stopped:
		s.out.put(event{finish: "stop", usage: s.usage()})
	case s.chosen >= s.max:
		s.end("length")
	default:
		return false
	}
	return true
}

func (s *sequence) end(reason string) {
	if rest := s.text.Flush(); rest != "" {
		s.out.put(event{text: rest})
	}
	s.out.put(event{finish: reason, usage: s.usage()})
}

// newSampler chains llama.cpp's samplers in its own usual order.
func newSampler(p openai.Sampling, m *model) llama.Sampler {
	chain := llama.SamplerChainInit(llama.SamplerChainDefaultParams())
	if p.FrequencyPenalty != 0 || p.PresencePenalty != 0 {
		// over the whole answer, as OpenAI has it
		llama.SamplerChainAdd(chain, llama.SamplerInitPenalties(m.tokens, int32(m.trained), 1, p.FrequencyPenalty, p.PresencePenalty))
	}
	if p.Temperature == 0 {
		llama.SamplerChainAdd(chain, llama.SamplerInitGreedy())
		return chain
	}
	if p.TopK > 0 {
		llama.SamplerChainAdd(chain, llama.SamplerInitTopK(p.TopK))
	}
	if p.TopP < 1 {
		llama.SamplerChainAdd(chain, llama.SamplerInitTopP(p.TopP, 1))
	}
	if p.MinP > 0 {
		llama.SamplerChainAdd(chain, llama.SamplerInitMinP(p.MinP, 1))
	}
	llama.SamplerChainAdd(chain, llama.SamplerInitTemp(p.Temperature))
	seed := rand.Uint32()
	if p.Seed != nil {
		seed = *p.Seed
	}
	if seed == llama.DefaultSeed { // llama.cpp reads this value as "a random one"
		seed--
	}
	llama.SamplerChainAdd(chain, llama.SamplerInitDist(seed))
	return chain
}
