package gateway

import (
	"bytes"
	"time"

	"github.com/valyala/fasthttp"
)

// A heldAnswer is a large answer on its way to its client. Its memory counts until the
// server has written it, or cannot.
type heldAnswer struct {
	bytes.Reader
	by   portion
	size int
}

// owner is the key of the user value that tells whose a large answer is.
const owner = "lotabots.owner"

// own says whose the answer is, if it is a large one.
func (r *request) own(who string) {
	if res := &r.ctx.Response; !res.IsBodyStream() && len(res.Body()) > prefetch {
		r.ctx.SetUserValue(owner, who)
	}
}

// hold has a large answer that is whole counted, and its client take it in a time that
// depends on its size. The engine's slot was given back before.
func (g *Gateway) hold(ctx *fasthttp.RequestCtx) {
	res := &ctx.Response
	if res.IsBodyStream() || ctx.IsHead() {
		return
	}
	body := res.Body()
	if len(body) <= prefetch {
		return
	}
	res.SwapBody(nil) // so that the server does not use the memory for another answer
	h := &heldAnswer{by: portion{&g.bodies, ""}, size: cap(body)}
	if who, ok := ctx.UserValue(owner).(string); ok {
		h.by.who = who
	}
	h.Reset(body)
	g.bodies.add(h.by.who, h.size)
	_ = ctx.SetWriteDeadline(time.Now().Add(g.cfg.WriteTimeout + inTime(len(body), g.cfg.MinRate)))
	res.SetBodyStream(h, len(body))
}

// inTime is how long so many bytes may take at a rate in bytes a second.
func inTime(n, rate int) time.Duration {
	return time.Duration(float64(n) / float64(rate) * float64(time.Second))
}

// SupportsBodyWriteTo has the server write the answer without a copy.
func (h *heldAnswer) SupportsBodyWriteTo() bool { return true }

// Close is called by the server once.
func (h *heldAnswer) Close() error {
	h.by.Back(h.size)
	h.size = 0
	return nil
}
