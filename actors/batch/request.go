package batch

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// A Request is the body of one request for embeddings, in OpenAI's form, or for ranks.
type Request struct {
	rank       bool
	body       []byte
	parameters string            // all but the inputs and who the end user is, as the members of an object
	inputs     []json.RawMessage // each a string, or a list of tokens
	weights    []int             // of the inputs, by which what is known of all is divided
	tokens     bool              // the inputs are lists of tokens
	empty      bool              // one input has nothing, which engines refuse
}

const (
	inputField = "input"
	userField  = "user" // for the provider's own records: engines make nothing of it
	// maxParameters bounds what tells groups apart, in bytes.
	maxParameters = 1 << 10
)

// Parse reads a body; false: it is in no form that is known here, and is for the engine
// to judge. The Request keeps body.
func Parse(body []byte) (*Request, bool) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return nil, false
	}
	r := &Request{body: body}
	if !r.read(fields[inputField]) {
		return nil, false
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		switch {
		case name == inputField, name == userField:
			continue
		case strings.EqualFold(name, inputField): // which of the two counts is for the engine to say
			return nil, false
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		key, _ := json.Marshal(name)
		b.Write(key)
		b.WriteByte(':')
		b.Write(bytes.TrimSpace(fields[name]))
	}
	r.parameters = b.String()
	return r, len(r.parameters) <= maxParameters
}

// read takes a string, a list of strings, a list of tokens or a list of such lists.
func (r *Request) read(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return false
	}
	if raw[0] == '"' {
		r.add(raw)
		return true
	}
	var list []json.RawMessage
	if raw[0] != '[' || json.Unmarshal(raw, &list) != nil || len(list) == 0 {
		return false
	}
	switch kind := kindOf(list[0]); kind {
	case '0':
		r.tokens = true
		r.add(raw)
		return all(list, '0')
	case '"', '[':
		if !all(list, kind) {
			return false
		}
		r.tokens = kind == '['
		for _, one := range list {
			r.add(one)
		}
		return true
	}
	return false
}

func (r *Request) add(raw json.RawMessage) {
	r.inputs = append(r.inputs, raw)
	if r.tokens {
		n := bytes.Count(raw, []byte(",")) + 1
		r.weights, r.empty = append(r.weights, n), r.empty || len(raw) < 3
		return
	}
	r.weights, r.empty = append(r.weights, len(raw)-2), r.empty || len(raw) < 3
}

func all(list []json.RawMessage, kind byte) bool {
	for _, one := range list {
		if kindOf(one) != kind {
			return false
		}
	}
	return true
}

// kindOf is the first byte of a value; '0' for every number that may be a token's.
func kindOf(raw json.RawMessage) byte {
	if raw = bytes.TrimSpace(raw); len(raw) == 0 {
		return 0
	}
	if raw[0] >= '0' && raw[0] <= '9' {
		return '0'
	}
	return raw[0]
}

// merge is the body of one call for all of them.
func merge(requests []*Request) []byte {
	switch {
	case len(requests) == 1:
		return requests[0].body
	case requests[0].rank:
		return mergeRanks(requests)
	}
	size := len(requests[0].parameters) + len(inputField) + 8
	for _, r := range requests {
		for _, in := range r.inputs {
			size += len(in) + 1
		}
	}
	b := append(make([]byte, 0, size), '{')
	if p := requests[0].parameters; p != "" {
		b = append(append(b, p...), ',')
	}
	b = append(b, `"`+inputField+`":[`...)
	for i, r := range requests {
		for j, in := range r.inputs {
			if i+j > 0 {
				b = append(b, ',')
			}
			b = append(b, in...)
		}
	}
	return append(b, "]}"...)
}
