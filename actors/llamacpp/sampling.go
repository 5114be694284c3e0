package llamacpp

import (
	"cmp"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/lotabots/lotabots/actors/llamacpp/grammar"
	"github.com/lotabots/lotabots/actors/llamacpp/openai"
	"github.com/lotabots/lotabots/actors/llamacpp/tools"
	"github.com/lotabots/lotabots/cluster/spec"
)

// A chooser picks tokens for one sequence.
type chooser struct {
	chain   llama.Sampler
	grammar llama.Sampler  // 0: none
	guard   *grammar.Guard // of grammar, asked before each step of it
	param   string         // of the request, that the grammar is for
	vocab   int
	scratch []llama.TokenData // the generator's, of the vocabulary's length

	model  *model
	caller *caller      // nil: no tools
	watch  *tools.Watch // for the beginning of a call, with which a grammar begins; nil: none, or there is one from the start
}

// newChooser fails where llama.cpp does not take the grammar. may is nil where nothing can be called.
func newChooser(p openai.Sampling, text string, may *caller, m *model) (*chooser, error) {
	c := &chooser{chain: newChain(p, m), vocab: int(m.tokens), model: m, caller: may, param: "response_format"}
	if may != nil {
		if text, c.param = may.whole, "tools"; text == "" {
			c.watch = may.family.NewWatch()
		}
	}
	if text == "" {
		return c, nil
	}
	if err := c.keepTo(text); err != nil {
		c.free()
		return nil, err
	}
	return c, nil
}

// keepTo makes the answer keep to a grammar from now on.
func (c *chooser) keepTo(text string) error {
	var err error
	if c.guard, err = guarded(text, c.param); err != nil {
		return err
	}
	if c.grammar = llama.SamplerInitGrammar(c.model.vocab, text, "root"); c.grammar == 0 {
		return refusedGrammar(c.param)
	}
	return nil
}

// bounded reports an error where llama.cpp must not be asked for the next token: it could take so long that everybody
// waits.
func (c *chooser) bounded() error {
	if err := c.guard.Check(); err != nil {
		return tooAmbiguous(c.param, err)
	}
	return nil
}

// accept tells the grammar of a token that it allows; one that it does not would end the process.
func (c *chooser) accept(t llama.Token) {
	llama.SamplerAccept(c.grammar, t)
	if !c.model.spelling(t).end {
		c.guard.Accept(c.caller.spell(c.model, t))
	}
}

func (c *chooser) free() {
	llama.SamplerFree(c.chain)
	llama.SamplerFree(c.grammar)
}

// choose takes the next token by the logits in the batch's row.
func (c *chooser) choose(ctx llama.Context, row int32) (llama.Token, error) {
	if c.grammar == 0 && c.watch == nil {
		return llama.SamplerSample(c.chain, ctx, row), nil
	}
	logits, err := llama.GetLogitsIth(ctx, row, c.vocab)
	if err != nil || logits == nil {
		return 0, spec.Errorf(spec.CodeUpstream, "llama.cpp gave no logits")
	}
	// what the model wants is mostly allowed, and to ask the grammar of one token is quick
	chosen := c.pick(c.candidates(logits), false)
	if c.grammar == 0 && possible(chosen) {
		if err := c.begins(chosen.Id); err != nil {
			return 0, err
		}
	}
	if c.grammar == 0 {
		if possible(chosen) {
			llama.SamplerAccept(c.chain, chosen.Id)
		}
		return chosen.Id, nil
	}
	if err := c.bounded(); err != nil {
		return 0, err
	}
	if one := []llama.TokenData{chosen}; !possible(c.apply(c.grammar, one)[0]) {
		if chosen = c.pick(c.candidates(logits), true); !possible(chosen) {
			return 0, spec.Errorf(spec.CodeUpstream, "no token of the vocabulary can go on as the JSON schema wants")
		}
	}
	c.accept(chosen.Id)
	llama.SamplerAccept(c.chain, chosen.Id)
	return chosen.Id, nil
}

func possible(d llama.TokenData) bool { return !math.IsInf(float64(d.Logit), -1) }

func (c *chooser) candidates(logits []float32) []llama.TokenData {
	for i, l := range logits {
		c.scratch[i] = llama.TokenData{Id: llama.Token(i), Logit: l}
	}
	return c.scratch
}

// pick lets the chain choose among candidates, those that the grammar allows or all.
func (c *chooser) pick(candidates []llama.TokenData, checked bool) llama.TokenData {
	if checked {
		c.apply(c.grammar, candidates)
	}
	a := array(candidates)
	llama.SamplerApply(c.chain, a)
	runtime.KeepAlive(candidates)
	if a.Selected < 0 || a.Selected >= int64(a.Size) {
		return llama.TokenData{Logit: float32(math.Inf(-1))}
	}
	return candidates[a.Selected]
}

func (c *chooser) apply(s llama.Sampler, candidates []llama.TokenData) []llama.TokenData {
	llama.SamplerApply(s, array(candidates))
	runtime.KeepAlive(candidates)
	return candidates
}

func array(candidates []llama.TokenData) *llama.TokenDataArray {
	return &llama.TokenDataArray{Data: &candidates[0], Size: uint64(len(candidates)), Selected: -1}
}

// newChain chains llama.cpp's samplers in its own usual order.
func newChain(p openai.Sampling, m *model) llama.Sampler {
	chain := llama.SamplerChainInit(llama.SamplerChainDefaultParams())
	if len(p.Bias) > 0 {
		list := make([]llama.LogitBias, len(p.Bias))
		for i, b := range p.Bias {
			list[i] = llama.LogitBias{Token: llama.Token(b.Token), Bias: b.Bias}
		}
		llama.SamplerChainAdd(chain, llama.SamplerInitLogitBias(m.tokens, int32(len(list)), &list[0])) // copied there
		runtime.KeepAlive(list)
	}
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

// scored is the model's own log probability of the chosen token, before temperature, bias and grammar, and
// those of the likeliest ones.
func scored(logits []float32, chosen llama.Token, top int, piece func(llama.Token) []byte) openai.Logprob {
	most := slices.Max(logits)
	sum := 0.0
	for _, l := range logits {
		sum += math.Exp(float64(l - most))
	}
	all := float64(most) + math.Log(sum)
	score := func(t llama.Token) openai.Scored {
		return openai.Scored{Token: piece(t), Logprob: float64(logits[t]) - all}
	}
	out := openai.Logprob{Scored: score(chosen)}
	best := make([]llama.Token, 0, top+1)
	for i, l := range logits {
		if len(best) == top && (top == 0 || l <= logits[best[top-1]]) {
			continue
		}
		at, _ := slices.BinarySearchFunc(best, l, func(t llama.Token, l float32) int { return cmp.Compare(l, logits[t]) })
		for at < len(best) && logits[best[at]] == l { // the lower number first among equals
			at++
		}
		best = slices.Insert(best, at, llama.Token(i))
		best = best[:min(len(best), top)]
	}
	for _, t := range best {
		out.Top = append(out.Top, score(t))
	}
	return out
}
