package gateway

import (
	"bytes"
	"errors"
	"io"
	"os"

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
	p := pieces{first: make([]byte, min(max(length, firstRead), prefetch)+1)} // one more, to see the end at once
	defer p.drop()
	busy(r.ctx.Conn(), false) // while it comes
	defer busy(r.ctx.Conn(), true)
	in := r.ctx.RequestBodyStream()
	for {
		to := p.room()
		if to == nil {
			if !r.g.bodies.take(pieceSize) {
				return nil, r.noRoom()
			}
			r.held += pieceSize
			to = p.grow()
		}
		n, err := in.Read(to)
		p.length += n
		switch {
		case p.length > limit:
			return nil, r.tooLarge(limit)
		case err == io.EOF && length >= 0 && p.length < length:
			return nil, r.cutShort(io.ErrUnexpectedEOF)
		case err == io.EOF:
			return p.join(), nil
		case err != nil:
			return nil, r.cutShort(err)
		}
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
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &spec.Error{Code: spec.CodeInvalidRequest, Message: "The body did not arrive in time.", Err: err}
	}
	return &spec.Error{Code: spec.CodeInvalidRequest, Message: "The body ended before it was complete.", Err: err}
}
