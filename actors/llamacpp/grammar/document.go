package grammar

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Bounds of a schema.
const (
	maxSchema  = 256 << 10 // bytes
	maxDepth   = 64
	maxRules   = 4096
	maxRepeats = 1000 // llama.cpp refuses more
	maxLength  = 100 * maxRepeats
)

// An object keeps the order of its keys: an answer has it too.
type object struct {
	keys   []string
	values map[string]json.RawMessage
}

func parseObject(raw json.RawMessage) (object, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	o := object{values: map[string]json.RawMessage{}}
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return o, fmt.Errorf("not an object")
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return o, err
		}
		key, ok := t.(string)
		if !ok {
			return o, fmt.Errorf("not an object")
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return o, err
		}
		if _, twice := o.values[key]; !twice {
			o.keys = append(o.keys, key)
		}
		o.values[key] = value
	}
	_, err := d.Token()
	return o, err
}

// only refuses keys other than these and what only annotates; a lenient converter passes over them.
func (c *converter) only(o object, at string, known ...string) error {
	if c.lenient {
		return nil
	}
	for _, k := range o.keys {
		if annotations[k] || strings.HasPrefix(k, "x-") || contains(known, k) {
			continue
		}
		return unsupported(at, "the keyword %q is not supported here", k)
	}
	return nil
}

var annotations = map[string]bool{
	"title": true, "description": true, "default": true, "example": true, "examples": true, "deprecated": true, "readOnly": true,
	"writeOnly": true, "$schema": true, "$id": true, "$comment": true, "$defs": true, "definitions": true, "discriminator": true,
	"$anchor": true, "contentMediaType": true, "contentEncoding": true,
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// count reads a keyword that must be a whole number from 0 to most; absent: otherwise.
func (o object) count(at, key string, otherwise, most int) (int, error) {
	raw, ok := o.values[key]
	if !ok {
		return otherwise, nil
	}
	n, err := strconv.ParseUint(string(raw), 10, 31)
	if err != nil {
		return 0, invalid(at, "%s must be a whole number", key)
	}
	if n > uint64(most) {
		return 0, unsupported(at, "%s is %d; at most %d is supported", key, n, most)
	}
	return int(n), nil
}

// integer reads a bound of integers; absent: nil.
func (o object) integer(at, key string, more int64) (*int64, error) {
	raw, ok := o.values[key]
	if !ok {
		return nil, nil
	}
	var f float64
	if json.Unmarshal(raw, &f) != nil || f != float64(int64(f)) || f < -1e15 || f > 1e15 {
		return nil, unsupported(at, "%s must be a whole number of at most 15 digits", key)
	}
	n := int64(f) + more
	return &n, nil
}

// find follows a reference inside the document.
func find(document json.RawMessage, pointer string) (json.RawMessage, bool) {
	at := document
	for _, step := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		if pointer == "" {
			break
		}
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		if o, err := parseObject(at); err == nil {
			next, ok := o.values[step]
			if !ok {
				return nil, false
			}
			at = next
			continue
		}
		var list []json.RawMessage
		i, err := strconv.Atoi(step)
		if json.Unmarshal(at, &list) != nil || err != nil || i < 0 || i >= len(list) {
			return nil, false
		}
		at = list[i]
	}
	return at, true
}

func unsupported(at, format string, args ...any) error {
	return fault(spec.CodeUnsupported, at, format, args)
}

func invalid(at, format string, args ...any) error {
	return fault(spec.CodeInvalidRequest, at, format, args)
}

func fault(code spec.Code, at, format string, args []any) error {
	if at == "" {
		at = "#"
	}
	return &spec.Error{Code: code, Param: "response_format", Message: "the JSON schema at " + at + ": " + fmt.Sprintf(format, args...)}
}
