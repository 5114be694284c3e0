package gateway

import (
	"bytes"
	"log/slog"
	"runtime/debug"

	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/spec"
)

var modelPaths = []byte("/admin/v1/models/")

// headed looks at a head that has come. A body that is too large is not waited for: the
// request is treated as one that asks whether it is welcome.
func (g *Gateway) headed(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	if h.ContentLength() > g.cfg.MaxBody && !bytes.HasPrefix(h.RequestURI(), modelPaths) {
		h.Set(fasthttp.HeaderExpect, "100-continue")
	}
	return fasthttp.RequestConfig{}
}

// expected judges a request by its head: the server asks before it has the body sent. What
// it returns is 100, or the status of the answer that it has made.
func (g *Gateway) expected(ctx *fasthttp.RequestCtx) (status int) {
	busy(ctx.Conn(), true)
	r := g.greet(ctx)
	defer func() {
		if p := recover(); p != nil {
			g.cfg.Log.Error("panic while looking at a request", slog.String("request_id", r.id), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			r.tell(spec.Errorf(spec.CodeInternal, "The gateway failed to serve the request."))
			status = ctx.Response.StatusCode()
		}
	}()
	r.head.judging = true
	g.router.Handler(ctx)
	if requestOf(ctx).head.welcome {
		return fasthttp.StatusContinue
	}
	g.cors(ctx)
	hangUp(ctx)
	return ctx.Response.StatusCode()
}

// judged has an operation stop short of what it does, where a request is looked at by its head.
func judged(op operation) operation {
	return func(r *request) error {
		if !r.head.judging {
			return op(r)
		}
		return r.welcome()
	}
}

// welcome tells what is against a request that can be known by its head, but who sends it:
// the size of its body, and the rate of its key.
func (r *request) welcome() error {
	path, length := r.ctx.Path(), r.ctx.Request.Header.ContentLength()
	switch {
	case bytes.HasPrefix(path, modelPaths):
		if int64(length) > r.g.cfg.MaxModel {
			return r.tooLarge64(r.g.cfg.MaxModel)
		}
	case length > r.g.cfg.MaxBody:
		return r.tooLarge(r.g.cfg.MaxBody)
	case r.who != nil && r.ctx.IsPost() && !bytes.HasSuffix(path, []byte("/count_tokens")) && (bytes.HasPrefix(path, []byte("/v1/")) || bytes.HasPrefix(path, []byte("/v2/"))):
		b := new(bill)
		if err := b.enter(r, string(r.ctx.Path())); err != nil {
			b.giveBack(r.g.limiter)
			return err
		}
		r.head.paid = b
	}
	r.head.welcome = true
	return nil
}
