package openai

import (
	"cmp"
	"encoding/json"
	"slices"
)

// A Rerank is a checked request to order documents by what they have to do with a query: Jina's and
// Cohere's shape.
type Rerank struct {
	Model     string
	Query     string
	Documents []string
	TopN      int  // of the answer
	Return    bool // the documents' texts too
}

// MaxDocuments bounds one request's documents.
const MaxDocuments = 2048

// ParseRerank reads and checks the body of a rerank request.
func ParseRerank(body []byte) (*Rerank, error) {
	var b struct {
		Model     string            `json:"model"`
		Query     *string           `json:"query"`
		Documents []json.RawMessage `json:"documents"`
		TopN      *int              `json:"top_n"`
		Return    *bool             `json:"return_documents"`
	}
	if err := decode(body, &b); err != nil {
		return nil, err
	}
	if b.Query == nil || *b.Query == "" {
		return nil, invalid("query", "query is missing")
	}
	if len(b.Documents) == 0 || len(b.Documents) > MaxDocuments {
		return nil, invalid("documents", "documents has %d entries; 1 to %d are allowed", len(b.Documents), MaxDocuments)
	}
	r := &Rerank{Model: b.Model, Query: *b.Query, TopN: len(b.Documents), Return: b.Return != nil && *b.Return}
	if err := noNUL("query", r.Query); err != nil {
		return nil, err
	}
	if b.TopN != nil {
		if *b.TopN < 1 {
			return nil, invalid("top_n", "top_n is %d; it must be at least 1", *b.TopN)
		}
		r.TopN = min(r.TopN, *b.TopN)
	}
	for i, raw := range b.Documents {
		var text string
		var object struct{ Text *string }
		if json.Unmarshal(raw, &text) != nil || isNull(raw) {
			if json.Unmarshal(raw, &object) != nil || object.Text == nil {
				return nil, invalid("documents", "documents[%d] must be a string, or an object with text", i)
			}
			text = *object.Text
		}
		if err := noNUL("documents", text); err != nil {
			return nil, err
		}
		r.Documents = append(r.Documents, text)
	}
	return r, nil
}

// ParseReranks reads and checks a body that is one request, or several under the name
// together, each as it would be alone. One that is bad spoils all.
func ParseReranks(body []byte) (all []*Rerank, together bool, err error) {
	var several struct {
		Together []json.RawMessage `json:"together"`
	}
	if json.Unmarshal(body, &several) != nil || several.Together == nil {
		one, err := ParseRerank(body)
		return []*Rerank{one}, false, err
	}
	documents := 0
	for _, raw := range several.Together {
		one, err := ParseRerank(raw)
		if err != nil {
			return nil, true, err
		}
		if documents += len(one.Documents); documents > MaxDocuments {
			return nil, true, invalid("together", "together has more than %d documents", MaxDocuments)
		}
		all = append(all, one)
	}
	if len(all) == 0 {
		return nil, true, invalid("together", "together is empty")
	}
	return all, true, nil
}

// TogetherAnswer is the body of an answer to several requests, of theirs in their order.
func TogetherAnswer(answers []json.RawMessage) []byte {
	return marshal(map[string]any{"together": answers})
}

// RerankAnswer is the body of an answer: the best documents first, equals in the request's order.
func RerankAnswer(r *Rerank, model string, scores []float64, tokens int) []byte {
	type document struct {
		Text string `json:"text"`
	}
	type result struct {
		Index    int       `json:"index"`
		Score    float64   `json:"relevance_score"`
		Document *document `json:"document,omitempty"`
	}
	results := make([]result, len(scores))
	for i, s := range scores {
		results[i] = result{Index: i, Score: s}
		if r.Return {
			results[i].Document = &document{r.Documents[i]}
		}
	}
	slices.SortStableFunc(results, func(a, b result) int { return cmp.Compare(b.Score, a.Score) })
	return marshal(map[string]any{
		"object": "list", "model": model, "results": results[:min(len(results), r.TopN)],
		"usage": map[string]int{"prompt_tokens": tokens, "total_tokens": tokens},
	})
}
