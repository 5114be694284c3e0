package relay

import (
	"context"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/spec/pool"
)

// A passer writes an answer as it comes, and is closed then.
type passer interface {
	io.WriterTo
	io.Closer
}

// passOn gives a stream to its client, piece by piece, on a connection that the server has let
// go of: its buffers and all that it knows of a request are others' while a stream says nothing.
// A client of HTTP/1.0 knows no chunks, and the server would gather the whole for it: there the
// connection's end is the answer's, and a break shows by the error event, as in any stream.
func (r *Relay) passOn(ctx *fasthttp.RequestCtx, from passer) {
	h := &ctx.Response.Header
	p := &passing{r: r, from: from, chunked: ctx.Request.Header.IsHTTP11()}
	if p.chunked {
		p.keep = !ctx.Request.Header.ConnectionClose() && !h.ConnectionClose()
		h.SetContentLength(-1)
	} else {
		h.SetContentLength(-2)
	}
	if !p.keep {
		h.SetConnectionClose()
	}
	p.head = append(frames.Get()[:0], h.Header()...)
	r.apart.Add(1)
	if r.cfg.Detach != nil && r.cfg.Detach(ctx, p.pass) {
		return
	}
	ctx.HijackSetNoResponse(true)
	ctx.Hijack(func(c net.Conn) { p.pass(c) }) // which the server closes after
}

// A passing is a stream on its way. It writes chunks, the head before the first.
type passing struct {
	r       *Relay
	from    passer
	c       net.Conn
	head    []byte // of a frame's memory; nil: it was written
	chunked bool
	keep    bool // the connection can be used again after
}

// pass writes the whole answer to c and tells whether the connection can be used for another
// request. A nil c: it was lost before.
func (p *passing) pass(c net.Conn) (keep bool) {
	defer p.r.apart.Add(-1)
	if c == nil {
		_ = p.from.Close()
		return false
	}
	p.c = c
	_ = c.SetWriteDeadline(time.Now().Add(p.r.cfg.WriteStall))
	err := p.write()
	_ = p.from.Close() // which accounts for it, before the client knows that it is whole
	if err != nil || !p.chunked && p.head == nil {
		return false
	}
	_ = c.SetWriteDeadline(time.Now().Add(p.r.cfg.WriteStall))
	_, err = c.Write(p.last())
	return err == nil && p.keep
}

func (p *passing) write() (err error) {
	defer func() {
		if v := recover(); v != nil {
			p.r.cfg.Log.Error("panic while passing a stream on", "panic", v)
			err = io.ErrUnexpectedEOF
		}
	}()
	_, err = p.from.WriteTo(p)
	return err
}

// last is what ends the answer.
func (p *passing) last() []byte {
	out := p.head
	if p.chunked {
		out = append(out, "0\r\n\r\n"...)
	}
	return out
}

// A frame is memory for a piece that is written and what is around it; a large one for the most
// that is written at a time.
type (
	frame      [4 << 10]byte
	largeFrame [maxWrite + 512]byte
)

var (
	frames      = pool.New("stream-frames", func() *frame { return new(frame) })
	largeFrames = pool.New("large-frames", func() *largeFrame { return new(largeFrame) })
)

const around = 16 // bytes, at most

// room has room for n bytes more after what out has.
func room(out []byte, n int) []byte {
	if out == nil {
		out = frames.Get()[:0]
	}
	if len(out)+n+around <= cap(out) {
		return out
	}
	large := append(largeFrames.Get()[:0], out...)
	giveBack(out)
	return large
}

// giveBack is for memory that nobody looks at any more.
func giveBack(out []byte) {
	switch cap(out) {
	case len(frame{}):
		frames.Put((*frame)(out[:cap(out)]))
	case len(largeFrame{}):
		largeFrames.Put((*largeFrame)(out[:cap(out)]))
	}
}

// Write writes b as a chunk, in one call with the head where that is due.
func (p *passing) Write(b []byte) (int, error) {
	out := room(p.head, len(b))
	p.head = nil
	if !p.chunked {
		out = append(out, b...)
	} else if len(b) > 0 { // an empty chunk would be the last
		out = strconv.AppendUint(out, uint64(len(b)), 16)
		out = append(append(append(out, "\r\n"...), b...), "\r\n"...)
	}
	n, err := p.c.Write(out)
	giveBack(out)
	if err != nil {
		return min(n, len(b)), err
	}
	return len(b), nil
}

// Drained waits until no stream passes on a connection that is not the server's any more.
func (r *Relay) Drained(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for r.apart.Load() > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}
