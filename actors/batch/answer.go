package batch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// TokenCounts is the field of usage in which an engine may tell the tokens of each input.
// Clients do not get it.
const TokenCounts = "input_tokens"

var errAnswer = errors.New("the engine's answer has no vector for each input")

// An answer is an engine's to one call.
type answer struct {
	head  map[string]json.RawMessage // but for data and usage
	rows  []json.RawMessage          // in the order of the inputs
	usage map[string]json.RawMessage
	each  []int64 // tokens of each input, as the engine told them; nil: it did not
}

// read takes an answer for so many inputs apart.
func read(body []byte, inputs int) (*answer, error) {
	a := &answer{}
	if err := json.Unmarshal(body, &a.head); err != nil {
		return nil, fmt.Errorf("%w: %w", errAnswer, err)
	}
	var rows []json.RawMessage
	if err := json.Unmarshal(a.head["data"], &rows); err != nil || len(rows) != inputs {
		return nil, errAnswer
	}
	if err := a.order(rows); err != nil {
		return nil, err
	}
	if raw, told := a.head["usage"]; told {
		if err := json.Unmarshal(raw, &a.usage); err != nil {
			return nil, fmt.Errorf("%w: %w", errAnswer, err)
		}
	}
	delete(a.head, "data")
	delete(a.head, "usage")
	if raw, told := a.usage[TokenCounts]; told {
		delete(a.usage, TokenCounts)
		if json.Unmarshal(raw, &a.each) != nil || len(a.each) != inputs || sum(a.each) != number(a.usage["prompt_tokens"]) {
			a.each = nil
		}
	}
	return a, nil
}

// alone is the answer to one request, as it came but for what clients do not get.
func alone(body []byte, r *Request) []byte {
	if r.rank || !bytes.Contains(body[max(0, len(body)-maxTail):], []byte(TokenCounts)) {
		return body
	}
	a, err := read(body, len(r.inputs))
	if err != nil {
		return body
	}
	bodies, _, err := a.split([]*Request{r})
	if err != nil {
		return body
	}
	return bodies[0]
}

// part gives each request its own part of the answer to all, and how many tokens that counts as.
func part(body []byte, requests []*Request, inputs int) (bodies [][]byte, counts []int64, err error) {
	if requests[0].rank {
		return splitRanks(body, requests)
	}
	a, err := read(body, inputs)
	if err != nil {
		return nil, nil, err
	}
	return a.split(requests)
}

// maxTail is where an engine's usage stands that tells the tokens of each input: at the end.
const maxTail = 32 << 10

// order puts the rows into the order of their inputs. A row tells its own, or none does.
func (a *answer) order(rows []json.RawMessage) error {
	a.rows = make([]json.RawMessage, len(rows))
	for i, raw := range rows {
		var row struct {
			Index     *int            `json:"index"`
			Embedding json.RawMessage `json:"embedding"`
		}
		if json.Unmarshal(raw, &row) != nil || len(row.Embedding) == 0 {
			return errAnswer
		}
		at := i
		if row.Index != nil {
			at = *row.Index
		}
		if at < 0 || at >= len(rows) || a.rows[at] != nil {
			return errAnswer
		}
		a.rows[at] = raw
	}
	return nil
}

// tokens is what each input counts as: what the engine told, or its part of what it told of all.
func (a *answer) tokens(weights []int) []int64 {
	if a.each != nil {
		return a.each
	}
	return divide(number(a.usage["prompt_tokens"]), weights)
}

// sum is -1 where one of them is below 0.
func sum(each []int64) (n int64) {
	for _, one := range each {
		if one < 0 || one > 1<<40 {
			return -1
		}
		n += one
	}
	return n
}

func number(raw json.RawMessage) int64 {
	n, err := strconv.ParseInt(string(bytes.TrimSpace(raw)), 10, 64)
	if err != nil || n < 0 || n > 1<<40 {
		return 0
	}
	return n
}

// split gives each of them its own answer, and how many tokens that counts as.
func (a *answer) split(requests []*Request) (bodies [][]byte, counts []int64, err error) {
	var weights []int
	for _, r := range requests {
		weights = append(weights, r.weights...)
	}
	each := a.tokens(weights)
	parts := make([]int, len(requests)) // by what each one's inputs take
	counts = make([]int64, len(requests))
	from := 0
	for i, r := range requests {
		for _, n := range each[from : from+len(r.inputs)] {
			counts[i] += n
		}
		for _, w := range r.weights {
			parts[i] += w
		}
		from += len(r.inputs)
	}
	usages := a.usages(counts, parts)
	bodies = make([][]byte, len(requests))
	from = 0
	for i, r := range requests {
		if bodies[i], err = a.body(a.rows[from:from+len(r.inputs)], usages[i]); err != nil {
			return nil, nil, err
		}
		from += len(r.inputs)
	}
	return bodies, counts, nil
}

// usages divides the engine's: prompt_tokens as counted, every other number so that the
// sums are what it told; a total that is the prompt's alone is so for each.
func (a *answer) usages(counts []int64, parts []int) []map[string]json.RawMessage {
	out := make([]map[string]json.RawMessage, len(counts))
	for i := range out {
		out[i] = map[string]json.RawMessage{}
	}
	if a.usage == nil {
		return out
	}
	prompt := number(a.usage["prompt_tokens"])
	for name, raw := range a.usage {
		n, shares := number(raw), counts
		if n != prompt {
			shares = divide(n, parts)
		}
		for i := range out {
			if _, err := strconv.ParseInt(string(bytes.TrimSpace(raw)), 10, 64); err == nil {
				out[i][name] = strconv.AppendInt(nil, shares[i], 10)
			} else if bytes.Equal(bytes.TrimSpace(raw), []byte("null")) {
				out[i][name] = raw
			}
		}
	}
	return out
}

// body is one caller's answer, in the engine's own words where they are not of others.
func (a *answer) body(rows []json.RawMessage, usage map[string]json.RawMessage) ([]byte, error) {
	size := 64
	for _, r := range rows {
		size += len(r) + 8
	}
	b := append(make([]byte, 0, size+256), '{')
	for _, name := range slices.Sorted(maps.Keys(a.head)) {
		key, _ := json.Marshal(name)
		b = append(append(append(append(b, key...), ':'), a.head[name]...), ',')
	}
	b = append(b, `"data":[`...)
	for i, r := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendRow(b, r, i); err != nil {
			return nil, err
		}
	}
	b = append(b, ']')
	if a.usage != nil {
		raw, err := json.Marshal(usage)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errAnswer, err)
		}
		b = append(append(b, `,"usage":`...), raw...)
	}
	return append(b, '}'), nil
}

// appendRow appends a row with its index among its caller's own.
func appendRow(b []byte, raw json.RawMessage, index int) ([]byte, error) {
	var row map[string]json.RawMessage
	if err := json.Unmarshal(raw, &row); err != nil {
		return nil, fmt.Errorf("%w: %w", errAnswer, err)
	}
	row["index"] = strconv.AppendInt(nil, int64(index), 10)
	first := byte('{')
	for _, name := range slices.Sorted(maps.Keys(row)) {
		key, _ := json.Marshal(name)
		b = append(append(append(append(b, first), key...), ':'), row[name]...)
		first = ','
	}
	return append(b, '}'), nil
}
