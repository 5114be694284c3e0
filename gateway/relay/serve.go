package relay

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Headers of inference answers.
const (
	HeaderNode     = "X-LotaBots-Node"
	HeaderAttempts = "X-LotaBots-Attempts"
)

// Serve carries x and sets ctx's response. An error means that nothing of an
// answer was set: the caller writes it as the response (ErrGone: there is
// nobody to write to). x.Done is called in every case.
func (r *Relay) Serve(ctx *fasthttp.RequestCtx, x *Exchange) error {
	r.begin(x)
	if !x.Call.Stream {
		return r.serveWhole(ctx, x)
	}
	b := &body{x: x, ready: make(chan struct{})}
	go b.produce()
	timer := time.NewTimer(r.cfg.PingAfter)
	defer timer.Stop()
	select {
	case <-b.ready:
	case <-timer.C: // from here on the answer is a stream, whatever comes
		b.pinging = true
		startStream(ctx, b)
		return nil
	}
	if b.err == nil && x.streaming() {
		x.setTopology(ctx)
		startStream(ctx, b)
		return nil
	}
	return x.respond(ctx, b.err)
}

func (r *Relay) serveWhole(ctx *fasthttp.RequestCtx, x *Exchange) error {
	defer func() {
		if p := recover(); p != nil { // give back what is held; the gateway answers
			x.end(fmt.Errorf("panic: %v", p))
			panic(p)
		}
	}()
	return x.respond(ctx, x.run())
}

// respond sets an answer that is not streamed.
func (x *Exchange) respond(ctx *fasthttp.RequestCtx, err error) error {
	x.setTopology(ctx)
	if errors.Is(err, errStatus) && x.out.Status == fasthttp.StatusTooManyRequests {
		err = nil // the engine's own refusal says it best
	}
	if errors.Is(err, errStatus) {
		err = &spec.Error{Code: spec.CodeUpstream,
			Message: "The engine answered with status " + strconv.Itoa(x.out.Status) + ": " + excerpt(x.buf)}
	}
	if err == nil {
		ctx.SetStatusCode(x.out.Status)
		ctx.Response.Header.SetContentType(x.contentType)
		ctx.Response.SetBodyRaw(x.buf)
	}
	x.end(err)
	return err
}

func (x *Exchange) setTopology(ctx *fasthttp.RequestCtx) {
	if !x.Topology {
		return
	}
	if x.out.Node != "" {
		ctx.Response.Header.Set(HeaderNode, string(x.out.Node))
	}
	ctx.Response.Header.Set(HeaderAttempts, strconv.Itoa(x.out.Attempts))
}

func startStream(ctx *fasthttp.RequestCtx, b *body) {
	ctx.SetStatusCode(fasthttp.StatusOK)
	ctx.Response.Header.SetContentType("text/event-stream")
	ctx.Response.Header.Set("Cache-Control", "no-cache")
	ctx.Response.Header.Set("X-Accel-Buffering", "no")
	ctx.Response.SetBodyStream(b, -1)
}

func excerpt(b []byte) string {
	if len(b) > 300 {
		return string(b[:300]) + "..."
	}
	return string(b)
}

// recovered turns a panic into an error and logs where it came from.
func (r *Relay) recovered(x *Exchange, p any) error {
	r.cfg.Log.Error("panic while serving a request", "request_id", x.Call.RequestID, "panic", p, "stack", string(debug.Stack()))
	return &spec.Error{Code: spec.CodeInternal, Message: "The gateway failed to serve the request."}
}
