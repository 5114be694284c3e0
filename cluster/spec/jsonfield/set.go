package jsonfield

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// Set returns body, one JSON object, with value, which is JSON, as its field.
// Every other byte stays as it was, and body itself is not changed. Keys that differ in
// case alone, and repeated ones, are replaced as well: engines disagree about which counts.
func Set(body []byte, field string, value []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, cause(err)
	}
	inside := int(d.InputOffset())
	out := make([]byte, 0, len(body)+len(field)+len(value)+4)
	from, found, fields := 0, false, 0
	for ; d.More(); fields++ {
		key, err := d.Token()
		if err != nil {
			return nil, cause(err)
		}
		var was json.RawMessage
		if err := d.Decode(&was); err != nil {
			return nil, cause(err)
		}
		if text, ok := key.(string); ok && strings.EqualFold(text, field) {
			end := int(d.InputOffset())
			out = append(append(out, body[from:end-len(was)]...), value...)
			from, found = end, true
		}
	}
	if _, err := d.Token(); err != nil { // the closing brace
		return nil, cause(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, cause(err)
	}
	if found {
		return append(out, body[from:]...), nil
	}
	name, _ := json.Marshal(field)
	out = append(append(append(append(out, body[:inside]...), name...), ':'), value...)
	if fields > 0 {
		out = append(out, ',')
	}
	return append(out, body[inside:]...), nil
}

// cause is why the body is not one JSON object: err, unless that says nothing.
func cause(err error) error {
	if err == nil {
		return errNotAnObject
	}
	return err
}

var errNotAnObject = errors.New("not one JSON object")
