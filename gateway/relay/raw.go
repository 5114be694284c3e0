package relay

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/spec"
)

// raw tells whether the answer passes on as it comes, whatever it is.
func (x *Exchange) raw() bool {
	return x.Raw && x.stream != nil && x.stream.Status() == http.StatusOK && !x.page()
}

// serveRaw carries an answer that nobody here can read, such as sound.
func (r *Relay) serveRaw(ctx *fasthttp.RequestCtx, x *Exchange) error {
	defer func() {
		if p := recover(); p != nil {
			x.end(fmt.Errorf("panic: %v", p))
			panic(p)
		}
	}()
	err := x.run()
	if err != nil || !x.raw() {
		return x.respond(ctx, err)
	}
	b := &rawBody{x: x}
	old := !ctx.Request.Header.IsHTTP11()
	if old && !b.events() { // it cannot tell the end of an answer of unknown length from a break
		return b.collect(ctx)
	}
	x.setTopology(ctx)
	ctx.SetStatusCode(fasthttp.StatusOK)
	ctx.Response.Header.SetContentType(x.contentType)
	if b.events() {
		ctx.Response.Header.Set("Cache-Control", "no-cache")
		ctx.Response.Header.Set("X-Accel-Buffering", "no")
	}
	r.passOn(ctx, b)
	return nil
}

// A rawBody is such an answer as it passes on. One that breaks ends with an error
// event where the client reads events, and else with the connection: without the last
// chunk nobody takes it for whole.
type rawBody struct {
	x     *Exchange
	at    int   // of x.buf: what is before was passed on
	over  bool  // nothing follows
	fault error // how it ended
	pace  pace  // of the client
	gave  int   // by the last piece
	then  time.Time
}

func (b *rawBody) events() bool { return strings.HasPrefix(b.x.contentType, eventStream) }

// piece is what passes on next, of at most so many bytes; it is valid until the following call.
func (b *rawBody) piece(most int) ([]byte, error) {
	x := b.x
	b.taken()
	for b.at == len(x.buf) {
		if b.over {
			return nil, io.EOF
		}
		x.buf, b.at = x.buf[:0], 0
		switch err := x.fill(); {
		case err == io.EOF:
			b.over = true
			if err := x.settle(nil); err != nil {
				if err := b.fail(err); err != nil {
					return nil, err
				}
			}
		case err != nil:
			x.last = err
			if err := b.fail(x.explain(err)); err != nil {
				return nil, err
			}
		}
	}
	p := x.buf[b.at:min(len(x.buf), b.at+most)]
	if !b.over {
		x.keepTail(p)
	}
	b.at += len(p)
	b.given(len(p))
	return p, nil
}

// Read implements io.Reader.
func (b *rawBody) Read(p []byte) (int, error) {
	next, err := b.piece(len(p))
	return copy(p, next), err
}

// given arms the deadline for what is written now.
func (b *rawBody) given(n int) {
	b.gave, b.then = n, time.Now()
	if b.pace.armed.IsZero() {
		b.pace.patience = b.x.r.cfg.WriteStall
	}
	if patience, due := b.pace.due(b.then); due && b.x.Conn != nil {
		_ = b.x.Conn.SetWriteDeadline(b.then.Add(patience))
	}
}

// taken takes note of what was written meanwhile.
func (b *rawBody) taken() {
	if b.gave > 0 {
		b.pace.took(b.gave, time.Since(b.then), b.x.r.cfg.WriteStall, b.x.r.cfg.MinRate)
		b.gave = 0
	}
}

// WriteTo implements io.WriterTo.
func (b *rawBody) WriteTo(w io.Writer) (total int64, err error) {
	for {
		next, err := b.piece(maxWrite)
		if err != nil {
			if err == io.EOF {
				err = nil
			}
			return total, err
		}
		n, err := w.Write(next)
		if total += int64(n); err != nil {
			return total, err
		}
	}
}

// fail leaves an error event in x.buf, or returns what ends the connection.
func (b *rawBody) fail(err error) error {
	b.over, b.fault = true, err
	if errors.Is(err, ErrGone) {
		return ErrGone
	}
	b.x.r.metrics.breaks.WithLabelValues(reasonOf(err)).Inc()
	_ = b.x.settle(err)
	if !b.events() {
		return fmt.Errorf("%w: %w", spec.ErrBroken, err)
	}
	b.x.buf = b.x.failed(append(b.x.buf[:0], "\n\n"...), asPublic(err))
	b.at = 0
	return nil
}

// collect gives the answer in one piece.
func (b *rawBody) collect(ctx *fasthttp.RequestCtx) error {
	whole := &held{room: b.x.Room} // beside the exchange's own buffer
	err := whole.gather(struct{ io.Reader }{b}, b.x.r.cfg.MaxAnswer)
	if b.fault != nil {
		err = b.fault
	}
	if err == nil {
		b.x.setTopology(ctx)
		ctx.SetStatusCode(fasthttp.StatusOK)
		ctx.Response.Header.SetContentType(b.x.contentType)
		ctx.Response.SetBodyRaw(whole.all)
	}
	whole.drop()
	b.x.end(err)
	return err
}

// Close ends the exchange: it is called when the answer has been written or cannot be.
func (b *rawBody) Close() error {
	if !b.over && b.fault == nil || errors.Is(b.x.r.watcher.finalCause(&b.x.watch), errClientGone) {
		b.fault = ErrGone
	}
	b.x.end(b.fault)
	return nil
}
