package openai

import (
	"errors"
	"strconv"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/form"
)

// CheckForm is Check of a form. The error is an unsupported_media_type one where the
// body is said to be another, and an invalid_request one where it cannot be read.
// Fields that are not looked at pass as they came.
func (r *Request) CheckForm(e Endpoint, contentType string, body []byte) *spec.Error {
	*r = Request{Model: r.Model[:0], Problems: r.Problems[:0], N: 1, PromptTokens: 1, Needs: e.Able()}
	parts, err := form.Parts(contentType, body)
	if errors.Is(err, form.ErrNoForm) {
		return &spec.Error{Code: spec.CodeUnsupportedMedia, Param: "Content-Type", Message: "The body must be a form: " + err.Error() + ".",
			Hint: "Send multipart/form-data, as curl -F does."}
	}
	if err != nil {
		return &spec.Error{Code: spec.CodeInvalidRequest, Message: "The form could not be read: " + err.Error() + ".", Err: err}
	}
	for _, p := range parts {
		r.formPart(p)
	}
	r.required(e)
	return nil
}

func (r *Request) formPart(p form.Part) {
	switch p.Name {
	case "model":
		r.once(fModel, "model")
		r.Model = append(r.Model[:0], p.Value...)
	case "file":
		r.once(fFile, "file")
		switch {
		case !p.File:
			r.add("file", "must be a file, with a name")
		case len(p.Value) == 0:
			r.add("file", "must not be empty")
		}
	case "stream":
		r.once(fStream, "stream")
		on, err := strconv.ParseBool(strings.ToLower(string(p.Value)))
		if err != nil {
			r.add("stream", "must be true or false")
		}
		r.Stream = on
	case "temperature":
		if f, err := strconv.ParseFloat(string(p.Value), 64); err != nil || !(f >= 0 && f <= 1) {
			r.add("temperature", "must be a number from 0 to 1")
		}
	case "priority": // which is not rewritten in a form
		r.once(fPriority, "priority")
		n, err := strconv.ParseUint(string(p.Value), 10, 31)
		if err != nil {
			r.add("priority", "must be a whole number of at least 0 in a form: ask for more by the header X-LotaBots-Priority")
		}
		r.Priority = int(n)
	case "timestamp_granularities[]":
		if text := string(p.Value); text != "word" && text != "segment" {
			r.add("timestamp_granularities", "must be word or segment")
		}
	}
}

// CheckTensors is Check of a request whose path names the model: the engine alone reads
// the body. It returns how long the JSON is with which a body of two parts begins; 0: it
// is not in two parts.
func (r *Request) CheckTensors(e Endpoint, model string, head, body []byte) (int, *spec.Error) {
	*r = Request{Model: append(r.Model[:0], model...), Problems: r.Problems[:0], N: 1, PromptTokens: 1, Needs: e.Able()}
	if len(head) == 0 {
		return 0, nil
	}
	n, ok := headLength(head)
	if !ok || n > len(body) {
		return 0, &spec.Error{Code: spec.CodeInvalidRequest, Param: spec.HeadLengthHeader,
			Message: spec.HeadLengthHeader + " must be a number from 1 to the body's length, which is " + strconv.Itoa(len(body)) + "."}
	}
	return n, nil
}

// headLength reads KServe's header of the same meaning.
func headLength(text []byte) (n int, ok bool) {
	if len(text) == 0 || len(text) > 9 {
		return 0, false
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, n > 0
}
