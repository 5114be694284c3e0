package relay

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/pool"
	"github.com/lotabots/lotabots/gateway/openai"
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
	if x.Raw {
		return r.serveRaw(ctx, x)
	}
	if !x.Call.Stream {
		return r.serveWhole(ctx, x)
	}
	b := &body{x: x, ready: make(chan struct{})}
	r.crew.run(b.produce)
	if !b.first() { // from here on the answer is a stream, whatever comes
		b.pinging = true
		startStream(ctx, b)
		return nil
	}
	if b.err != nil || !x.streaming() {
		return x.respond(ctx, b.err)
	}
	x.setTopology(ctx)
	startStream(ctx, b)
	return nil
}

// first waits until produce has something; false: it is time for a ping before.
func (b *body) first() bool {
	timer := pauses.Get()
	defer pauses.Put(timer)
	timer.Reset(b.x.r.cfg.PingAfter)
	defer timer.Stop()
	select {
	case <-b.ready:
		return true
	case <-timer.C:
		return false
	}
}

// pauses are what streams wait with for their first events.
var pauses = pool.New("stream-pauses", func() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
})

const eventStream = "text/event-stream"

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
	if errors.Is(err, errStatus) || err == nil && x.out.Status >= fasthttp.StatusMultipleChoices {
		err = x.refusal()
	}
	var answer []byte
	kind := ""
	if err == nil {
		answer, kind, err = x.whole()
	}
	if unsettled := x.settle(err); unsettled != nil && err == nil {
		err = unsettled
	}
	if err == nil {
		ctx.SetStatusCode(fasthttp.StatusOK) // whichever of those that are no error's the engine says it by
		ctx.Response.Header.SetContentType(kind)
		if x.headLength > 0 {
			ctx.Response.Header.Set(spec.HeadLengthHeader, strconv.Itoa(x.headLength))
		}
		if cap(x.buf) == firstRead && len(answer) <= firstRead { // so that it can be used again
			ctx.Response.SetBody(answer)
		} else {
			ctx.Response.SetBodyRaw(answer)
			x.buf = nil
		}
	}
	x.end(err)
	return err
}

func (x *Exchange) setTopology(ctx *fasthttp.RequestCtx) {
	if x.fell != "" {
		ctx.Response.Header.Set(HeaderDeployment, x.fell)
	}
	if x.Bypass || x.Call.Cache != nil {
		x.setCached(ctx)
	}
	if x.Trace {
		ctx.Response.Header.SetBytesV(HeaderTrace, x.explanation(x.buf[max(0, len(x.buf)-openai.TailSize):]))
	}
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
	ctx.Response.Header.SetContentType(b.x.streamType())
	ctx.Response.Header.Set("Cache-Control", "no-cache")
	ctx.Response.Header.Set("X-Accel-Buffering", "no")
	b.x.r.passOn(ctx, b)
}

// recovered turns a panic into an error and logs where it came from.
func (r *Relay) recovered(x *Exchange, p any) error {
	r.cfg.Log.Error("panic while serving a request", "request_id", x.Call.RequestID, "panic", p, "stack", string(debug.Stack()))
	return &spec.Error{Code: spec.CodeInternal, Message: "The gateway failed to serve the request."}
}

// isJSON tells whether the type is one of JSON.
func isJSON(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	return kind == jsonType || strings.HasSuffix(kind, "+json")
}
