package batch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// TogetherField is where a call for ranks has several requests, as each would be alone,
// and its answer theirs in their order. The embedded engine knows it, and no other.
const TogetherField = "together"

// ParseRank is Parse for a request that has documents ranked. It is put together with
// others whatever their queries are, for each document is judged by itself.
func ParseRank(body []byte) (*Request, bool) {
	var fields struct {
		Query     *string           `json:"query"`
		Documents []json.RawMessage `json:"documents"`
		Together  json.RawMessage   `json:"together"`
	}
	if json.Unmarshal(body, &fields) != nil || fields.Query == nil || len(fields.Documents) == 0 || fields.Together != nil {
		return nil, false
	}
	var names map[string]json.RawMessage
	if json.Unmarshal(body, &names) != nil {
		return nil, false
	}
	for name := range names { // which is for the engine alone to read
		if strings.EqualFold(name, TogetherField) {
			return nil, false
		}
	}
	r := &Request{body: body, rank: true, inputs: fields.Documents, empty: *fields.Query == "", parameters: string(bytes.TrimSpace(names["model"]))}
	for _, d := range fields.Documents {
		r.weights = append(r.weights, len(*fields.Query)+len(d))
	}
	return r, len(r.parameters) <= maxParameters
}

// mergeRanks is the body of one call for all of them.
func mergeRanks(requests []*Request) []byte {
	size := len(TogetherField) + 8
	for _, r := range requests {
		size += len(r.body) + 1
	}
	b := append(make([]byte, 0, size), `{"`+TogetherField+`":[`...)
	for i, r := range requests {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, r.body...)
	}
	return append(b, "]}"...)
}

// splitRanks gives each of them its own answer, and how many tokens that counts as.
func splitRanks(body []byte, requests []*Request) (bodies [][]byte, counts []int64, err error) {
	var all struct {
		Together []json.RawMessage `json:"together"`
	}
	if err := json.Unmarshal(body, &all); err != nil || len(all.Together) != len(requests) {
		return nil, nil, fmt.Errorf("%w, or none for each request", errAnswer)
	}
	for _, raw := range all.Together {
		var one struct {
			Results []json.RawMessage `json:"results"`
			Usage   struct {
				Prompt json.RawMessage `json:"prompt_tokens"`
			} `json:"usage"`
		}
		if json.Unmarshal(raw, &one) != nil || len(one.Results) == 0 {
			return nil, nil, errAnswer
		}
		bodies, counts = append(bodies, raw), append(counts, number(one.Usage.Prompt))
	}
	return bodies, counts, nil
}
