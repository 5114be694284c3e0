package llamacpp

import "github.com/lotabots/lotabots/cluster/spec"

// abilities tells by name what the model can here, and what it cannot. What shows only
// with the first request, such as whether a model that writes has a head that ranks, is
// left out.
func (e *Engine) abilities() map[string]bool {
	told := map[string]bool{}
	tell := func(can bool, which spec.Ability) {
		for _, name := range which.Names() {
			told[name] = can
		}
	}
	tell(e.gen != nil, spec.AbleComplete|spec.AbleSchema|spec.AbleLogprobs|spec.AbleContinue|spec.AbleAdapters|spec.AbleUsage|spec.AbleTokens)
	tell(e.gen != nil && e.format != "", spec.AbleChat|spec.AbleTools|spec.AbleCount)
	e.embedding.Lock()
	defer e.embedding.Unlock()
	if e.emb != nil {
		tell(e.emb.ranks, spec.AbleRerank)
		tell(!e.emb.ranks, spec.AbleEmbed)
	}
	return told
}
