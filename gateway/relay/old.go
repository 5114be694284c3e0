package relay

import (
	"context"
	"io"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

// A passer writes an answer as it comes, and is closed then.
type passer interface {
	io.WriterTo
	io.Closer
}

// passOn gives a stream to a client of HTTP/1.0, which knows no chunks: event by event,
// until the connection is closed. A break shows, as in any stream, by the error event. The
// server would gather the whole of it, so the connection is taken from it.
func (r *Relay) passOn(ctx *fasthttp.RequestCtx, from passer) {
	h := &ctx.Response.Header
	h.SetContentLength(-2) // none: the connection's end is the answer's
	head := append([]byte(nil), h.Header()...)
	r.old.Add(1)
	ctx.HijackSetNoResponse(true)
	ctx.Hijack(func(c net.Conn) { // which the server closes after
		defer r.old.Add(-1)
		defer from.Close()
		_ = c.SetWriteDeadline(time.Now().Add(r.cfg.WriteStall))
		if _, err := c.Write(head); err == nil {
			_, _ = from.WriteTo(c)
		}
	})
}

// Drained waits until no stream passes on a connection that is not the server's any more.
func (r *Relay) Drained(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for r.old.Load() > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}
