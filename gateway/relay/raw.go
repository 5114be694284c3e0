package relay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/openai"
)

// raw tells whether the answer passes on as it comes, whatever it is. Nobody streams JSON: that is an
// answer in one piece after all, or an error.
func (x *Exchange) raw() bool {
	return x.Raw && x.stream != nil && x.stream.Status() == http.StatusOK && !x.page() && !isJSON(x.contentType)
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

// A rawBody is such an answer as it passes on. One that breaks, or that its engine ends as
// failed, ends with an error event where the client reads events, which pass on whole, and else
// with the connection: without the last chunk nobody takes it for whole.
type rawBody struct {
	x     *Exchange
	at    int   // of x.buf: what is before was passed on
	ready int   // of x.buf: what is before may pass on
	torn  bool  // what was passed on last ends inside an event
	over  bool  // nothing follows
	fault error // how it ended
	pace  pace  // of the client
	gave  int   // by the last piece
	then  time.Time
}

func (b *rawBody) events() bool { return b.x.rawEvents() }

// rawEvents tells whether an answer that passes as it comes is of events.
func (x *Exchange) rawEvents() bool { return strings.HasPrefix(x.contentType, eventStream) }

// piece is what passes on next, of at most so many bytes; it is valid until the following call.
func (b *rawBody) piece(most int) ([]byte, error) {
	b.taken()
	for b.at == b.ready {
		if b.over {
			return nil, io.EOF
		}
		if err := b.more(); err != nil {
			return nil, err
		}
	}
	x := b.x
	p := x.buf[b.at:min(b.ready, b.at+most)]
	if !b.over {
		x.keepTail(p)
	}
	b.at += len(p)
	b.given(len(p))
	return p, nil
}

// more makes more of the answer ready: what an earlier read has left, or what the next one brings.
func (b *rawBody) more() error {
	x := b.x
	x.buf = x.buf[:copy(x.buf, x.buf[b.at:])]
	b.at, b.ready = 0, 0
	if len(x.buf) > 0 && b.sift() {
		return nil
	}
	switch err := x.fill(); {
	case err == io.EOF:
		return b.ended()
	case err != nil:
		x.last = err
		return b.fail(x.explain(err))
	}
	b.sift()
	return nil
}

// sift makes ready what of x.buf may pass on, and puts the gateway's word in place of the
// engine's where that says that it has failed. False: there is no whole event yet.
func (b *rawBody) sift() bool {
	x, n := b.x, len(b.x.buf)
	if b.events() {
		switch n = openai.EventEnd(x.buf); {
		case n > 0 && b.torn: // the rest of an event that was too large to be looked at
			n, b.torn = openai.NextEvent(x.buf), false
		case n > 0:
			n = b.word(n)
		case len(x.buf) > maxEvent:
			// An end of a line stays, which may be half of the event's: it would be looked for in what follows.
			n, b.torn = len(bytes.TrimRight(x.buf, "\r\n")), true
		}
	}
	b.ready = n
	return n > 0
}

// word looks for an engine's error among the first n bytes of x.buf, whole events, and ends the
// answer with it. What stands behind it is left out.
func (b *rawBody) word(n int) int {
	before, event := openai.EngineFailed(b.x.buf[:n])
	if event == nil {
		return n
	}
	x, said := b.x, openai.StreamError(event)
	b.over, b.fault = true, said
	if said.Code.Lookup().Status >= http.StatusInternalServerError {
		x.grant.Erred()
	}
	x.r.metrics.breaks.WithLabelValues(reasonOf(errEngine)).Inc()
	x.keepTail(x.buf[:before])
	_ = x.settle(said)
	x.buf = x.failed(x.buf[:before], said)
	return len(x.buf)
}

// firstWord is the error with which a stream of events begins, before any of it has passed on: the request may be
// served by another instance, or is answered with that error's status.
func (x *Exchange) firstWord() error {
	if !x.rawEvents() {
		return nil
	}
	before, event := openai.EngineFailed(x.buf[:openai.EventEnd(x.buf)])
	if event == nil || before > 0 {
		return nil
	}
	said := openai.StreamError(event)
	said.Err = errEngine
	return said
}

// errCutEvent says that the engine's answer ended, and not where an event does.
var errCutEvent = fmt.Errorf("%w: the stream ended inside an event", spec.ErrBroken)

// inEvent tells whether what is left at the end of a stream of events is a part of one.
func inEvent(left []byte) bool { return len(left) > 0 && left[len(left)-1] != '\n' }

// ended makes ready what is left where the engine has ended its answer.
func (b *rawBody) ended() error {
	x := b.x
	b.over = true
	if b.events() && len(x.buf) > 0 && !b.torn { // an event without the empty line behind it
		if b.ready = b.word(len(x.buf)); b.fault != nil {
			return nil //nolint:nilerr // the event is the answer's last word, and is passed on first
		}
	}
	if b.events() && (b.torn || inEvent(x.buf)) {
		x.last = errCutEvent
		return b.fail(x.explain(errCutEvent))
	}
	b.ready = len(x.buf)
	x.keepTail(x.buf)
	if err := x.settle(nil); err != nil {
		return b.fail(err)
	}
	return nil
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
	lead := b.x.buf[:0]
	if b.torn { // else what has come of an event is dropped, and the error stands alone
		lead = append(lead, "\n\n"...)
	}
	b.x.buf = b.x.failed(lead, asPublic(err))
	b.at, b.ready = 0, len(b.x.buf)
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
