package engine

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/jsonfield"
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
	out, err := jsonfield.Set(body, field, value)
	if err != nil {
		return nil, notAnObject(err)
	}
	return out, nil
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
