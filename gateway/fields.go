package gateway

import (
	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/gateway/relay"
)

// The headers that are looked for with every request.
var (
	fieldAcceptEncoding   = newField(fasthttp.HeaderAcceptEncoding)
	fieldAnthropicVersion = newField(headerAnthropicVersion)
	fieldAPIKey           = newField(headerAPIKey)
	fieldAuthorization    = newField(fasthttp.HeaderAuthorization)
	fieldContentEncoding  = newField(fasthttp.HeaderContentEncoding)
	fieldDeadline         = newField(HeaderDeadline)
	fieldPriority         = newField(HeaderPriority)
	fieldRequestID        = newField(HeaderRequestID)
	fieldSession          = newField(HeaderSession)
	fieldTrace            = newField(relay.HeaderTrace)
	fieldTraceParent      = newField("Traceparent")

	// fieldsTimeout are what OpenAI's and Anthropic's clients wait for the beginning of an answer.
	fieldsTimeout = [...]field{newField("X-Stainless-Timeout"), newField("X-Stainless-Read-Timeout")}
)

// The headers that are set, or looked for, with every answer, as the server writes their names:
// it would bring them into that form each time, which takes longer than finding them.
var (
	nameAcceptEncoding = []byte(fasthttp.HeaderAcceptEncoding)
	nameCacheControl   = []byte(fasthttp.HeaderCacheControl)
	nameGateway        = nameOf("X-LotaBots-Gateway")
	nameRequestID      = nameOf(HeaderRequestID)
	nameVary           = []byte(fasthttp.HeaderVary)
)

// rateNames are those of rateHeaders.
var rateNames = func() (all [len(rateHeaders)][len(rateHeaders[0])][]byte) {
	for u, names := range rateHeaders {
		for i, name := range names {
			all[u][i] = nameOf(name)
		}
	}
	return all
}()

// nameOf is a header's name as the server writes it.
func nameOf(name string) []byte { return fasthttp.AppendNormalizedHeaderKey(nil, name) }

// A field is a header of requests.
type field struct {
	name []byte // as the server writes it
	in   fieldSet
}

func newField(name string) field {
	f := field{name: nameOf(name)}
	f.in = setOf(f.name)
	return f
}

// A fieldSet is headers, as a bit for each by the length and the last letter of its name: several may have the same.
type fieldSet uint64

func setOf(name []byte) fieldSet {
	n := uint(len(name))
	if n == 0 {
		return 0
	}
	return 1 << ((n + 7*uint(name[n-1])) % 64)
}

// lackedBy is what the head of a request does not have. After a body of unknown length more may come.
func lackedBy(h *fasthttp.RequestHeader) fieldSet {
	if h.ContentLength() < 0 {
		return 0
	}
	has := fieldSet(0)
	for name := range h.All() {
		has |= setOf(name)
	}
	return ^has
}

// field is the request's header of that name; empty: there is none, which mostly is known without looking for it.
func (r *request) field(f *field) []byte {
	if r.head.lacks&f.in != 0 {
		return nil
	}
	return r.ctx.Request.Header.PeekCanonical(f.name)
}
