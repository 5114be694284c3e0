package gateway

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/spec"
)

// prefetch is the size up to which the server reads a body before the handler runs.
const prefetch = 64 << 10

// importTimeout is how long a model may take to arrive.
const importTimeout = 12 * time.Hour

// headerReceived gives imports the time that they need.
func (g *Gateway) headerReceived(h *fasthttp.RequestHeader) (c fasthttp.RequestConfig) {
	if h.IsPut() && strings.HasPrefix(string(h.RequestURI()), "/admin/v1/models/") {
		c.ReadTimeout = importTimeout
	}
	return c
}

var bodies = sync.Pool{New: func() any { return new([]byte) }}

// maxKept is the size up to which a body's memory is used again.
const maxKept = 1 << 20

// body reads the request's body, at most MaxBody of it, whatever length it
// claims. release gives its memory back.
func (r *request) body() (body []byte, release func(), err error) {
	limit := r.g.cfg.MaxBody
	if r.ctx.Request.Header.ContentLength() > limit {
		return nil, nil, r.tooLarge(limit)
	}
	if !r.ctx.Request.IsBodyStream() {
		return r.ctx.Request.Body(), func() {}, nil
	}
	held := bodies.Get().(*[]byte)
	release = func() {
		if cap(*held) <= maxKept {
			bodies.Put(held)
		}
	}
	b := (*held)[:0]
	if n := r.ctx.Request.Header.ContentLength(); n > cap(b) {
		b = make([]byte, 0, min(n, prefetch))
	}
	in := r.ctx.RequestBodyStream()
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := in.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		*held = b
		switch {
		case len(b) > limit:
			release()
			return nil, nil, r.tooLarge(limit)
		case err == io.EOF:
			if want := r.ctx.Request.Header.ContentLength(); want >= 0 && len(b) < want {
				release()
				return nil, nil, r.cutShort(io.ErrUnexpectedEOF)
			}
			return b, release, nil
		case err != nil:
			release()
			return nil, nil, r.cutShort(err)
		}
	}
}

func (r *request) tooLarge(limit int) error {
	r.ctx.SetConnectionClose()
	return spec.Errorf(spec.CodeBodyTooLarge, "The body is larger than the limit of %d bytes.", limit)
}

func (r *request) cutShort(err error) error {
	r.ctx.SetConnectionClose()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &spec.Error{Code: spec.CodeInvalidRequest, Message: "The body did not arrive in time.", Err: err}
	}
	return &spec.Error{Code: spec.CodeInvalidRequest, Message: "The body ended before it was complete.", Err: err}
}
