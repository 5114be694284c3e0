package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
)

// withModel returns body with name as its "model": engines that know the model by another name than the
// deployment's are asked by theirs.
func withModel(body []byte, name string) ([]byte, error) { return withText(body, "model", name) }

// withText returns body, one JSON object, with value as its field. Every other byte stays as it was. Keys
// that differ in case alone, and repeated ones, are replaced as well, since engines disagree about which counts.
func withText(body []byte, field, value string) ([]byte, error) {
	return withValue(body, field, quote(value))
}

// withValue is withText for any JSON value.
func withValue(body []byte, field string, value []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, notAnObject(err)
	}
	afterBrace := int(d.InputOffset())
	out := make([]byte, 0, len(body)+len(value)+16)
	copied, found, fields := 0, false, 0
	for ; d.More(); fields++ {
		key, err := d.Token()
		if err != nil {
			return nil, notAnObject(err)
		}
		var was json.RawMessage
		if err := d.Decode(&was); err != nil {
			return nil, notAnObject(err)
		}
		if text, ok := key.(string); ok && strings.EqualFold(text, field) {
			end := int(d.InputOffset())
			out = append(out, body[copied:end-len(was)]...)
			out = append(out, value...)
			copied, found = end, true
		}
	}
	if _, err := d.Token(); err != nil { // the closing brace
		return nil, notAnObject(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, notAnObject(err)
	}
	if !found {
		out = append(out, body[:afterBrace]...)
		out = append(append(out, quote(field)...), ':')
		out = append(out, value...)
		if fields > 0 {
			out = append(out, ',')
		}
		copied = afterBrace
	}
	return append(out, body[copied:]...), nil
}

// quote writes a JSON string; names are short, so an escape too many costs nothing.
func quote(name string) []byte {
	quoted, err := json.Marshal(name)
	if err != nil {
		return strconv.AppendQuoteToASCII(nil, name) // strings do not fail
	}
	return quoted
}

func notAnObject(cause error) error {
	return &spec.Error{Code: spec.CodeInvalidJSON, Message: fmt.Sprintf("the body is not one JSON object (%v)", cause), Err: cause}
}
