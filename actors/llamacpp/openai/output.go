package openai

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"github.com/lotabots/lotabots/actors/llamacpp/grammar"
)

// output reads what the answer shall be made of.
func (g *Generation) output(b *generationBody) (err error) {
	g.N = 1
	if b.N != nil {
		if g.N = *b.N; g.N < 1 || g.N > MaxAnswers {
			return invalid("n", "n is %d; it must lie between 1 and %d", g.N, MaxAnswers)
		}
	}
	if err := g.logprobs(b.Logprobs, b.TopLogprobs); err != nil {
		return err
	}
	if g.Sampling.Bias, err = parseBias(b.LogitBias); err != nil {
		return err
	}
	g.Grammar, g.Schema, err = parseFormat(b.ResponseFormat)
	return err
}

// logprobs reads a chat's flag and number, or a completion's number.
func (g *Generation) logprobs(raw json.RawMessage, top *int) error {
	name, n := "top_logprobs", top
	if g.Kind == Completion {
		if top != nil && *top != 0 {
			return invalid("top_logprobs", "top_logprobs is a chat's; a completion has logprobs: N")
		}
		name, n = "logprobs", nil
		if !isNull(raw) && string(raw) != "false" {
			n = new(int)
			if json.Unmarshal(raw, n) != nil {
				return invalid(name, "logprobs must be a whole number")
			}
			g.Logprobs = true
		}
	} else if !isNull(raw) && json.Unmarshal(raw, &g.Logprobs) != nil {
		return invalid("logprobs", "logprobs must be true or false")
	}
	if n == nil {
		return nil
	}
	if *n < 0 || *n > MaxTopLogprobs {
		return invalid(name, "%s is %d; it must lie between 0 and %d", name, *n, MaxTopLogprobs)
	}
	if *n > 0 && !g.Logprobs {
		return invalid(name, "top_logprobs needs logprobs: true")
	}
	g.TopLogprobs = *n
	return nil
}

// parseBias gives the biases in the order of their tokens.
func parseBias(raw json.RawMessage) ([]Bias, error) {
	var byToken map[string]float64
	if isNull(raw) {
		return nil, nil
	}
	if json.Unmarshal(raw, &byToken) != nil {
		return nil, invalid("logit_bias", "logit_bias must be an object of numbers")
	}
	if len(byToken) > MaxBias {
		return nil, invalid("logit_bias", "logit_bias has %d tokens; at most %d", len(byToken), MaxBias)
	}
	var list []Bias
	for _, key := range slices.Sorted(maps.Keys(byToken)) {
		token, err := strconv.ParseInt(key, 10, 32)
		if bias := byToken[key]; err != nil || token < 0 || bias < -100 || bias > 100 {
			return nil, invalid("logit_bias", "logit_bias: %q must be a token's number, and its value must lie between -100 and 100", key)
		}
		list = append(list, Bias{int32(token), float32(byToken[key])})
	}
	return list, nil
}

// parseFormat gives the grammar that a response_format stands for, and its schema; empty: any text.
func parseFormat(raw json.RawMessage) (string, json.RawMessage, error) {
	if isNull(raw) {
		return "", nil, nil
	}
	var f struct {
		Type   string `json:"type"`
		Schema struct {
			Schema json.RawMessage `json:"schema"`
		} `json:"json_schema"`
	}
	if json.Unmarshal(raw, &f) != nil {
		return "", nil, invalid("response_format", "response_format must be an object with a type")
	}
	switch f.Type {
	case "text":
		return "", nil, nil
	case "json_object":
		return grammar.Object(), json.RawMessage("object"), nil
	case "json_schema":
		if isNull(f.Schema.Schema) {
			return "", nil, invalid("response_format", "response_format.json_schema.schema is missing")
		}
		text, err := grammar.Schema(f.Schema.Schema)
		return text, f.Schema.Schema, err
	}
	return "", nil, refuse("response_format", "response_format has the type %q; text, json_object and json_schema are supported", f.Type)
}
