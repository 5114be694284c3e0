package openai

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/valyala/fastjson"

	"github.com/lotabots/lotabots/cluster/spec"
)

// theirs are the codes of the catalogue that an engine may tell of a request. Others,
// such as those of keys, are between the gateway and the engine.
var theirs = map[spec.Code]bool{
	spec.CodeInvalidRequest: true, spec.CodeInvalidJSON: true, spec.CodeUnsupported: true, spec.CodeContextLength: true, spec.CodeUnsupportedModel: true,
}

// EngineError is what an engine's answer with an error status says of the request, as an
// error of the gateway's.
func EngineError(status int, answer []byte) *spec.Error {
	e := &spec.Error{Code: spec.CodeUpstream}
	switch {
	case status == http.StatusTooManyRequests:
		e.Code = spec.CodeBusy
	case status >= 400 && status < 500:
		e.Code = spec.CodeInvalidRequest
	}
	v, err := fastjson.ParseBytes(answer)
	if err == nil {
		if inner := v.Get("error"); inner != nil && inner.Type() == fastjson.TypeObject {
			v = inner
		}
		e.Message = clip(strings.ToValidUTF8(string(v.GetStringBytes("message")), "?"), 600)
	}
	if e.Message == "" || e.Code != spec.CodeInvalidRequest {
		e.Message = "The engine answered with status " + strconv.Itoa(status) + ": " + clip(strings.ToValidUTF8(string(answer), "?"), 300)
		return e
	}
	e.Param, e.Hint = string(v.GetStringBytes("param")), string(v.GetStringBytes("hint"))
	switch code := spec.Code(v.GetStringBytes("code")); {
	case theirs[code]:
		e.Code = code
	case string(v.GetStringBytes("type")) == "exceed_context_size_error", strings.Contains(e.Message, "maximum context length"): // llama-server's, vLLM's
		e.Code = spec.CodeContextLength
	}
	return e
}
