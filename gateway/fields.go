package gateway

import (
	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/gateway/relay"
)

// The headers that are looked for, or set, with every request, as the server writes their names:
// it would bring them into that form each time, which takes longer than finding them.
var (
	fieldAcceptEncoding   = field(fasthttp.HeaderAcceptEncoding)
	fieldAnthropicVersion = field(headerAnthropicVersion)
	fieldAPIKey           = field(headerAPIKey)
	fieldAuthorization    = field(fasthttp.HeaderAuthorization)
	fieldCacheControl     = field(fasthttp.HeaderCacheControl)
	fieldDeadline         = field(HeaderDeadline)
	fieldGateway          = field("X-LotaBots-Gateway")
	fieldPriority         = field(HeaderPriority)
	fieldRequestID        = field(HeaderRequestID)
	fieldSession          = field(HeaderSession)
	fieldTrace            = field(relay.HeaderTrace)
	fieldTraceParent      = field("Traceparent")
	fieldVary             = field(fasthttp.HeaderVary)

	// fieldsTimeout are what OpenAI's and Anthropic's clients wait for the beginning of an answer.
	fieldsTimeout = [...][]byte{field("X-Stainless-Timeout"), field("X-Stainless-Read-Timeout")}
)

// rateFields are those of rateHeaders.
var rateFields = func() (all [len(rateHeaders)][len(rateHeaders[0])][]byte) {
	for u, names := range rateHeaders {
		for i, name := range names {
			all[u][i] = field(name)
		}
	}
	return all
}()

// field is a header's name as the server writes it.
func field(name string) []byte { return fasthttp.AppendNormalizedHeaderKey(nil, name) }
