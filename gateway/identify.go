package gateway

import (
	"bytes"
	"math/rand/v2"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/auth"
)

var bearer = []byte("Bearer ")

// keyOf returns the key that the client sent, or nil.
func keyOf(ctx *fasthttp.RequestCtx) []byte {
	h := ctx.Request.Header.Peek(fasthttp.HeaderAuthorization)
	if len(h) > len(bearer) && bytes.EqualFold(h[:len(bearer)], bearer) {
		return bytes.TrimSpace(h[len(bearer):])
	}
	return nil
}

// identify finds out who asks and whether they have the scope.
func (r *request) identify(s auth.Scope) error {
	text := keyOf(r.ctx)
	if len(text) == 0 {
		return &spec.Error{Code: spec.CodeMissingKey, Message: "The request has no API key."}
	}
	who, code := r.g.keys.Identify(text, time.Now().UnixMilli())
	if code != "" {
		return r.refuseKey(text, code)
	}
	if r.g.cfg.State.Age() > who.MaxAge() {
		return &spec.Error{Code: spec.CodeStaleState, Message: "This gateway has been cut off from the cluster's state for longer than the tenant allows."}
	}
	r.who = who
	if !who.MayScope(s) {
		return &spec.Error{Code: spec.CodeForbidden, Message: "The key lacks the scope " + s.String() + "."}
	}
	return nil
}

func (r *request) refuseKey(text []byte, code spec.Code) error {
	e := &spec.Error{Code: code, Message: code.Lookup().Title}
	if _, ok := auth.Parse(text); !ok {
		e.Hint = "It is not complete, or has a typo: its check characters do not fit. Compare it with the text shown when it was created."
	}
	return e
}

// maxRequestID bounds what is taken over from the client.
const maxRequestID = 128

// requestID takes over the client's id, if it is sane, or makes one.
func requestID(ctx *fasthttp.RequestCtx) string {
	if h := ctx.Request.Header.Peek(HeaderRequestID); len(h) > 0 && len(h) <= maxRequestID && sane(h) {
		return string(h)
	}
	const digits = "0123456789abcdef"
	var b [24]byte
	copy(b[:], "req-")
	hi := rand.Uint64()
	lo := rand.Uint32()
	for i := range 16 {
		b[4+i] = digits[hi>>(4*i)&15]
	}
	for i := range 4 {
		b[20+i] = digits[lo>>(4*i)&15]
	}
	return string(b[:])
}

func sane(b []byte) bool {
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-', c == '_', c == '.', c == ':':
		default:
			return false
		}
	}
	return true
}
