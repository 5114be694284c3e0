package llamacpp

import (
	"context"
	"math"
	"strings"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/lotabots/lotabots/actors/llamacpp/openai"
	"github.com/lotabots/lotabots/cluster/spec"
)

// rerank gives each request's documents' relevance, and how many tokens were read for it. A model with one
// output gives a logit, of which the logistic function makes a number from 0 to 1; one with several has made
// probabilities of them itself, and the first one counts. Each document is judged by itself.
func (e *Engine) rerank(ctx context.Context, requests []*openai.Rerank) (scores [][]float64, tokens []int, err error) {
	emb, err := e.embedder()
	if err != nil {
		return nil, nil, err
	}
	if !emb.ranks {
		return nil, nil, &spec.Error{Code: spec.CodeUnsupported, Message: "the model does not rank texts", Hint: "Use a reranking model: its GGUF has the pooling type rank"}
	}
	var pairs [][]llama.Token
	for _, r := range requests {
		own, total, err := e.pairTokens(ctx, r, emb.capacity)
		if err != nil {
			return nil, nil, err
		}
		pairs, tokens = append(pairs, own...), append(tokens, total)
	}
	vectors, err := emb.embed(ctx, pairs)
	if err != nil {
		return nil, nil, err
	}
	all := make([]float64, len(vectors))
	for i, v := range vectors {
		if all[i] = float64(v[0]); len(v) == 1 {
			all[i] = 1 / (1 + math.Exp(-all[i]))
		}
		if math.IsNaN(all[i]) {
			return nil, nil, spec.Errorf(spec.CodeUpstream, "llama.cpp gave no score")
		}
	}
	for _, r := range requests {
		scores, all = append(scores, all[:len(r.Documents)]), all[len(r.Documents):]
	}
	return scores, tokens, nil
}

// pair is what a reranker reads: by the model's own template where it has one, else query and document
// between the marks that its vocabulary asks for. Neither text can spell a control token.
func (m *model) pair(query, document string) (tokens []llama.Token) {
	if template := llama.ModelChatTemplate(m.handle, "rerank"); strings.Contains(template, "{query}") {
		parts := map[string]string{"{query}": query, "{document}": document}
		for template != "" {
			at, name := len(template), ""
			for p := range parts {
				if i := strings.Index(template, p); i >= 0 && i < at {
					at, name = i, p
				}
			}
			tokens = append(tokens, m.tokenize(template[:at], false, true)...)
			if template = template[at+len(name):]; name != "" {
				tokens = append(tokens, m.tokenize(parts[name], false, false)...)
			}
		}
		return tokens
	}
	end := llama.VocabEOS(m.vocab)
	if end == llama.TokenNull {
		end = llama.VocabSEP(m.vocab)
	}
	mark := func(wanted bool, t llama.Token) {
		if wanted && t != llama.TokenNull {
			tokens = append(tokens, t)
		}
	}
	mark(llama.VocabGetAddBOS(m.vocab), m.begin)
	tokens = append(tokens, m.tokenize(query, false, false)...)
	mark(llama.VocabGetAddEOS(m.vocab), end)
	mark(llama.VocabGetAddSEP(m.vocab), llama.VocabSEP(m.vocab))
	tokens = append(tokens, m.tokenize(document, false, false)...)
	mark(llama.VocabGetAddEOS(m.vocab), end)
	return tokens
}
