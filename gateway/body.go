package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/spec"
)

// prefetch is the size up to which the server reads a body before the handler runs.
const prefetch = 16 << 10

// firstRead is how much room a body of unknown length gets at first.
const firstRead = 4 << 10

// body is the request's body, at most MaxBody of it, without its content coding.
func (r *request) body() ([]byte, error) {
	b, err := r.received()
	if err != nil {
		return nil, err
	}
	return r.restored(b, r.g.cfg.MaxBody)
}

// received reads what was sent as the body, whatever length it claims. The memory is
// the caller's own and is not used again here: what sends it to an engine may look at it
// until long after the answer.
func (r *request) received() ([]byte, error) {
	limit, length := r.g.cfg.MaxBody, r.ctx.Request.Header.ContentLength()
	if length > limit {
		return nil, r.tooLarge(limit)
	}
	if !r.ctx.Request.IsBodyStream() {
		return bytes.Clone(r.ctx.Request.Body()), nil
	}
	if length >= 0 && length <= prefetch/2 { // it is there already
		b := make([]byte, length)
		if _, err := io.ReadFull(r.ctx.RequestBodyStream(), b); err != nil {
			return nil, r.cutShort(err)
		}
		return b, nil
	}
	first := firstRead
	if length >= 0 {
		first = min(length, prefetch)
	}
	p := pieces{first: make([]byte, first+1)} // one more, to see the end at once
	defer p.drop()
	busy(r.ctx.Conn(), false) // while it comes
	defer busy(r.ctx.Conn(), true)
	in, pace := r.ctx.RequestBodyStream(), pacer{began: time.Now(), grace: r.g.cfg.ReadTimeout, rate: r.g.cfg.MinRate}
	for {
		to := p.room()
		if to == nil {
			if !r.hold(pieceSize) {
				return nil, r.noRoom()
			}
			to = p.grow()
		}
		pace.arm(r.ctx.Conn(), p.length)
		n, err := in.Read(to)
		if p.length += n; p.length > sluiceFrom {
			time.Sleep(r.g.crowd.sluice.take(n, time.Now()))
		}
		switch {
		case p.length > limit:
			return nil, r.tooLarge(limit)
		case err == io.EOF && length >= 0 && p.length < length:
			return nil, r.cutShort(io.ErrUnexpectedEOF)
		case err == io.EOF:
			defer r.g.heavy.enter(p.length)() // while it is there twice
			return p.join(), nil
		case err != nil:
			return nil, r.cutShort(err)
		}
	}
}

// A pacer has a body come at a rate, all in all, and never stand still for long.
type pacer struct {
	began time.Time
	grace time.Duration
	rate  int // bytes a second
	armed time.Time
}

// due is when more must have come of a body of which so much is there by now.
func (p *pacer) due(now time.Time, got int) time.Time {
	rate, still := p.began.Add(p.grace+inTime(got, p.rate)), now.Add(p.grace)
	if still.Before(rate) {
		return still
	}
	return rate
}

// arm moves the deadline on, now and then.
func (p *pacer) arm(c net.Conn, got int) {
	if now := time.Now(); now.Sub(p.armed) >= p.grace/16 {
		p.armed = now
		_ = c.SetReadDeadline(p.due(now, got))
	}
}

func (r *request) tooLarge(limit int) error {
	hangUp(r.ctx)
	return spec.Errorf(spec.CodeBodyTooLarge, "The body is larger than the limit of %d bytes.", limit)
}

// hangUp closes the connection after the answer, because what else comes on it
// is not wanted.
func hangUp(ctx *fasthttp.RequestCtx) {
	ctx.SetConnectionClose()
	if c := below(ctx.Conn()); c != nil {
		c.linger.Store(true)
	}
}

func (r *request) cutShort(err error) error {
	hangUp(r.ctx)
	var network net.Error
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		r.g.crowd.senders.Inc()
		return &spec.Error{Code: spec.CodeRequestTimeout, Err: err,
			Message: fmt.Sprintf("The body did not arrive in time: it must come at %d bytes a second or more, and not stand still for %v.", r.g.cfg.MinRate, r.g.cfg.ReadTimeout)}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &network), r.ctx.Request.Header.ContentLength() >= 0:
		return &spec.Error{Code: spec.CodeInvalidRequest, Message: "The body ended before it was complete.", Err: err}
	}
	return &spec.Error{Code: spec.CodeMalformedBody, Message: "The body's chunks could not be read: " + clip(strings.TrimPrefix(err.Error(), "fasthttp: "), 200) + ".", Err: err}
}
