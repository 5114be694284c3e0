package llamacpp

import (
	"math/rand/v2"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/lotabots/lotabots/actors/llamacpp/openai"
)

// A chooser picks tokens for one sequence.
type chooser struct {
	chain llama.Sampler
}

func newChooser(p openai.Sampling, m *model) *chooser { return &chooser{chain: newChain(p, m)} }

func (c *chooser) free() { llama.SamplerFree(c.chain) }

// choose takes the next token by the logits in the batch's row.
func (c *chooser) choose(ctx llama.Context, row int32) llama.Token {
	return llama.SamplerSample(c.chain, ctx, row)
}

// newChain chains llama.cpp's samplers in its own usual order.
func newChain(p openai.Sampling, m *model) llama.Sampler {
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
