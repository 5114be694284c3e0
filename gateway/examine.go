package gateway

import (
	"net/http"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/openai"
)

// A framing is what the engine is told of a request that is not one JSON object posted.
type framing struct {
	method, contentType string
	headLength          int
}

// examine reads what routing needs of the body, and notes what it is to the engine.
func (x *inferring) examine(r *request, check *openai.Request, body []byte) *spec.Error {
	h := &r.ctx.Request.Header
	switch x.endpoint.Body() {
	case openai.Form:
		x.sent.contentType = string(h.ContentType())
		if err := check.CheckForm(x.endpoint, x.sent.contentType, body); err != nil {
			return err
		}
	case openai.Tensors:
		return x.examineTensors(r, check, body)
	default:
		if err := check.Check(x.endpoint, body); err != nil {
			return err
		}
	}
	x.Object = x.endpoint.Body() == openai.JSON && x.endpoint != openai.Speech
	x.Raw = x.endpoint.Raw() && (check.Stream || x.endpoint == openai.Speech)
	return nil
}

func (x *inferring) examineTensors(r *request, check *openai.Request, body []byte) *spec.Error {
	h := &r.ctx.Request.Header
	n, err := check.CheckTensors(x.endpoint, r.param("model"), h.Peek(spec.HeadLengthHeader), body)
	if err != nil {
		return err
	}
	if v := r.param("version"); v != "" && !isDigits(v) {
		return &spec.Error{Code: spec.CodeInvalidRequest, Param: "version", Message: "The version of a model must be a number."}
	}
	x.sent.headLength = n
	if !r.ctx.IsPost() {
		x.sent.method = http.MethodGet
		return nil
	}
	if x.sent.contentType = string(h.ContentType()); !isPlain(x.sent.contentType) {
		return spec.Errorf(spec.CodeUnsupportedMedia, "The Content-Type is none.")
	}
	return nil
}

// isDigits tells whether text is a number that a model's version may be.
func isDigits(text string) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(text) <= 18
}

// isPlain tells whether text may be a header's value.
func isPlain(text string) bool {
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return len(text) <= 256
}
