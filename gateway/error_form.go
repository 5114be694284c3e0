package gateway

import (
	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/anthropic"
	"github.com/lotabots/lotabots/gateway/openai"
)

// An errorForm is the API in whose form an operation tells errors.
type errorForm uint8

const (
	openaiErrors errorForm = iota
	anthropicErrors
	kserveErrors
)

// Headers of Anthropic's clients.
const (
	headerAnthropicVersion = "Anthropic-Version"
	headerAnthropicID      = "Request-Id"
)

// before notes the form, and serves.
func (f errorForm) before(serve fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		requestOf(ctx).head.tells = f
		f.mark(ctx)
		serve(ctx)
	}
}

// mark sets what answers of that API have beside their body.
func (f errorForm) mark(ctx *fasthttp.RequestCtx) {
	if f == anthropicErrors {
		ctx.Response.Header.SetBytesV(headerAnthropicID, ctx.Response.Header.Peek(HeaderRequestID))
	}
}

// errorForm is the form that the path has, or else that of a client who says by its header that it is
// Anthropic's: of what both APIs have, and of what neither has. The operation may have another.
func (r *request) errorForm() errorForm {
	if f, ok := errorsAt(r.ctx.Path()); ok {
		return f
	}
	if len(r.field(&fieldAnthropicVersion)) > 0 {
		return anthropicErrors
	}
	return openaiErrors
}

func (f errorForm) appendError(dst []byte, e *spec.Error, requestID string, problems []openai.Problem) []byte {
	switch f {
	case anthropicErrors:
		return anthropic.AppendError(dst, e, requestID, problems)
	case kserveErrors:
		return openai.AppendKServeError(dst, e, requestID, problems)
	}
	return openai.AppendError(dst, e, requestID, problems)
}
