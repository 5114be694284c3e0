package gateway

import (
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/relay"
)

// exposed are the headers of answers that pages may read beside those that always are: all that the description has.
var exposed = strings.Join(slices.Concat([]string{HeaderRequestID, headerAnthropicID, fasthttp.HeaderRetryAfter, headerRetryAfterMS, headerShouldRetry, "X-LotaBots-Gateway", relay.HeaderNode,
	relay.HeaderAttempts, relay.HeaderDeployment, relay.HeaderTrace, relay.HeaderCache, "X-LotaBots-Cache-Key", fasthttp.HeaderAge, HeaderEstimated, HeaderStateIndex, HeaderStateAge,
	spec.HeadLengthHeader, fasthttp.HeaderContentDisposition, fasthttp.HeaderAcceptEncoding}, rateHeaders[0][:], rateHeaders[1][:]), ", ")

const (
	allOrigins   = "*"
	preflightAge = "7200" // seconds; browsers allow no more
)

// cors tells a browser whether the page that asks may: the headers of its answer say so.
// It answers preflights itself, which have no credential; true: it has answered.
//
// Pages authenticate by headers, which they set themselves, so that a foreign page can do
// nothing in anybody's name. Cookies, for a proxy that wants them, are for named origins.
func (g *Gateway) cors(ctx *fasthttp.RequestCtx) bool {
	if len(g.cfg.Origins) == 0 {
		return false
	}
	h := &ctx.Response.Header
	all := slices.Contains(g.cfg.Origins, allOrigins)
	if !all || g.cfg.Credentials {
		h.Add(fasthttp.HeaderVary, fasthttp.HeaderOrigin)
	}
	origin := string(ctx.Request.Header.Peek(fasthttp.HeaderOrigin))
	switch {
	case origin == "":
		return false
	case slices.Contains(g.cfg.Origins, origin):
		h.Set(fasthttp.HeaderAccessControlAllowOrigin, origin)
		if g.cfg.Credentials {
			h.Set(fasthttp.HeaderAccessControlAllowCredentials, "true")
		}
	case all:
		h.Set(fasthttp.HeaderAccessControlAllowOrigin, allOrigins)
	default:
		return false // without the headers the browser keeps the answer from the page
	}
	method := ctx.Request.Header.Peek(fasthttp.HeaderAccessControlRequestMethod)
	if !ctx.IsOptions() || len(method) == 0 {
		h.Set(fasthttp.HeaderAccessControlExposeHeaders, exposed)
		return false
	}
	g.preflight(ctx)
	return true
}

// preflight tells what may be sent to the path: its methods, and any header.
func (g *Gateway) preflight(ctx *fasthttp.RequestCtx) {
	g.router.Handler(ctx) // which knows the path's methods, or that there is none
	h := &ctx.Response.Header
	allowed := h.Peek(fasthttp.HeaderAllow)
	if len(allowed) == 0 {
		return
	}
	h.SetBytesV(fasthttp.HeaderAccessControlAllowMethods, allowed)
	h.Add(fasthttp.HeaderVary, fasthttp.HeaderAccessControlRequestHeaders)
	if asked := ctx.Request.Header.Peek(fasthttp.HeaderAccessControlRequestHeaders); len(asked) > 0 {
		h.SetBytesV(fasthttp.HeaderAccessControlAllowHeaders, asked)
	}
	h.Set(fasthttp.HeaderAccessControlMaxAge, preflightAge)
}
