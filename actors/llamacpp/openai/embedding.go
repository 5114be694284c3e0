package openai

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
)

// An Input is a text, or the tokens of one.
type Input struct {
	Text   string
	Tokens []int32 // nil: Text is meant
}

// An Embedding is a checked request for vectors.
type Embedding struct {
	Model  string
	Inputs []Input
	Base64 bool
}

// ParseEmbedding reads and checks the body of an embedding request.
func ParseEmbedding(body []byte) (*Embedding, error) {
	var b struct {
		Model      string          `json:"model"`
		Input      json.RawMessage `json:"input"`
		Format     string          `json:"encoding_format"`
		Dimensions *int            `json:"dimensions"`
	}
	if err := decode(body, &b); err != nil {
		return nil, err
	}
	if b.Dimensions != nil {
		return nil, refuse("dimensions", "the embedded engine does not shorten vectors")
	}
	if b.Format != "" && b.Format != "float" && b.Format != "base64" {
		return nil, invalid("encoding_format", "encoding_format is %q; it must be float or base64", b.Format)
	}
	if isNull(b.Input) {
		return nil, invalid("input", "input is missing")
	}
	inputs, err := parseInputs(b.Input, "input")
	if err != nil {
		return nil, err
	}
	for _, in := range inputs {
		if in.Tokens == nil && in.Text == "" {
			return nil, invalid("input", "an input is empty")
		}
	}
	return &Embedding{Model: b.Model, Inputs: inputs, Base64: b.Format == "base64"}, nil
}

// parseInputs takes a string, a list of strings, a list of tokens or a list of such lists.
func parseInputs(raw json.RawMessage, name string) ([]Input, error) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return []Input{{Text: text}}, noNUL(name, text)
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil || len(list) == 0 {
		return nil, invalid(name, "%s must be a string, a list of strings, or tokens, and not empty", name)
	}
	if tokens, ok := asTokens(raw); ok {
		return []Input{{Tokens: tokens}}, nil
	}
	if len(list) > MaxEmbedInputs {
		return nil, invalid(name, "%s has %d entries; at most %d", name, len(list), MaxEmbedInputs)
	}
	inputs := make([]Input, len(list))
	for i, entry := range list {
		if json.Unmarshal(entry, &text) == nil && !isNull(entry) {
			if err := noNUL(name, text); err != nil {
				return nil, err
			}
			inputs[i].Text = text
			continue
		}
		tokens, ok := asTokens(entry)
		if !ok {
			return nil, invalid(name, "%s[%d] is neither a string nor a list of tokens, or is empty", name, i)
		}
		inputs[i].Tokens = tokens
	}
	return inputs, nil
}

// asTokens refuses null entries, which encoding/json would read as token 0.
func asTokens(raw json.RawMessage) ([]int32, bool) {
	var tokens []*int32
	if json.Unmarshal(raw, &tokens) != nil || len(tokens) == 0 {
		return nil, false
	}
	out := make([]int32, len(tokens))
	for i, t := range tokens {
		if t == nil || *t < 0 {
			return nil, false
		}
		out[i] = *t
	}
	return out, true
}

// EmbeddingAnswer is the body of an answer to an embedding request. counts are the tokens
// of each input, which usage has as input_tokens where each is to be told.
func EmbeddingAnswer(model string, vectors [][]float32, asBase64 bool, counts []int, each bool) ([]byte, error) {
	type row struct {
		Object    string `json:"object"`
		Index     int    `json:"index"`
		Embedding any    `json:"embedding"`
	}
	rows := make([]row, len(vectors))
	for i, v := range vectors {
		rows[i] = row{"embedding", i, v}
		if asBase64 {
			rows[i].Embedding = base64.StdEncoding.EncodeToString(littleEndian(v))
		}
	}
	tokens := 0
	for _, n := range counts {
		tokens += n
	}
	usage := map[string]any{"prompt_tokens": tokens, "total_tokens": tokens}
	if each {
		usage["input_tokens"] = counts
	}
	return json.Marshal(map[string]any{"object": "list", "model": model, "data": rows, "usage": usage})
}

func littleEndian(v []float32) []byte {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}
