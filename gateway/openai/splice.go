package openai

import (
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/jsonfield"
)

// WithField is jsonfield.Set with an error for clients.
func WithField(body []byte, field string, value []byte) ([]byte, error) {
	out, err := jsonfield.Set(body, field, value)
	if err != nil {
		return nil, &spec.Error{Code: spec.CodeInvalidJSON, Message: "The body is not one JSON object.", Err: err}
	}
	return out, nil
}
