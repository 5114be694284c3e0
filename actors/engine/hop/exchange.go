package hop

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/lotabots/lotabots/cluster/spec/leash"
)

// An exchange is one request and its answer, whose body it is. One goroutine reads;
// Close may come from any.
type exchange struct {
	caller   *Caller
	conn     *conn
	leash    *leash.Leash // that it hangs on; nil: stop has it hang on the context no more
	tie      leash.Tie    // to it
	stop     func() bool
	keep     bool // conn may have another request after this
	headless bool // answers to it have no body
	answer   http.Response
	ended    atomic.Bool // conn is somebody else's, or closed

	// The reader's own.
	chunked bool
	chunks  chunks // its over is for every kind of body
	left    int64  // of a body whose length is known; negative: it ends with the connection
	lent    *[]byte
	rest    []byte // of lent: what came with the head
	err     error  // what further reads return
}

var chunkedCoding = []string{"chunked"}

// ErrClosed is for reads of an answer that was closed.
var ErrClosed = errors.New("the answer was closed")

// begin makes h the answer's.
func (x *exchange) begin(h *head) {
	x.keep = x.keep && h.keep
	x.chunked, x.left = h.chunked, h.length
	a := &x.answer
	a.StatusCode, a.Status, a.Proto, a.ProtoMajor, a.ProtoMinor = h.status, h.reason, h.proto, 1, int(h.proto[7]-'0')
	a.Header, a.ContentLength, a.Body, a.Close = h.fields, h.length, x, !x.keep
	switch {
	case x.headless, h.status == http.StatusNoContent, h.status == http.StatusNotModified, !h.chunked && h.length == 0:
		x.chunks.over, a.ContentLength = true, 0
	case h.chunked:
		a.TransferEncoding = chunkedCoding
	case h.length < 0:
		x.keep = false
	}
}

// Read implements io.Reader. The answer's last bytes come with io.EOF.
func (x *exchange) Read(p []byte) (int, error) {
	switch {
	case x.err != nil:
		return 0, x.err
	case x.chunks.over:
		return 0, io.EOF
	case x.ended.Load():
		return 0, ErrClosed
	case len(p) == 0:
		return 0, nil
	}
	n, err := x.read(p)
	if err != nil {
		x.err = err
		x.end(err == io.EOF && x.keep && len(x.rest) == 0)
		x.letGo()
	}
	return n, err
}

func (x *exchange) read(p []byte) (int, error) {
	if x.chunked {
		return x.readChunks(p)
	}
	if x.left >= 0 && int64(len(p)) > x.left {
		p = p[:x.left]
	}
	n, err := x.take(p)
	switch {
	case x.left < 0:
		return n, err
	case n > 0:
		err = nil
	}
	if x.left -= int64(n); x.left == 0 {
		x.chunks.over = true
		return n, io.EOF
	}
	return n, early(err)
}

func (x *exchange) readChunks(p []byte) (int, error) {
	for {
		var wrote int
		var err error
		if len(x.rest) > 0 {
			var read int
			wrote, read, err = x.chunks.decode(p, x.rest)
			if x.rest = x.rest[read:]; len(x.rest) == 0 {
				x.letGo()
			}
		} else {
			var n, read int
			if n, err = x.conn.Read(p); n > 0 {
				wrote, read, err = x.chunks.decode(p, p[:n])
				x.keep = x.keep && read == n // what follows nobody asked for
			}
		}
		switch {
		case x.chunks.over && err == nil:
			return wrote, io.EOF
		case wrote > 0, err != nil:
			return wrote, early(err)
		}
	}
}

// take reads what came with the head, and then from the connection.
func (x *exchange) take(p []byte) (int, error) {
	if len(x.rest) == 0 {
		return x.conn.Read(p)
	}
	n := copy(p, x.rest)
	if x.rest = x.rest[n:]; len(x.rest) == 0 {
		x.letGo()
	}
	return n, nil
}

// letGo gives the head's buffer back.
func (x *exchange) letGo() {
	if x.lent != nil {
		giveBack(x.lent, *x.lent)
		x.lent, x.rest = nil, nil
	}
}

// Close ends the exchange: an answer that goes on ends with its connection.
func (x *exchange) Close() error {
	x.end(false)
	return nil
}

// hang has the context's end close the connection.
func (x *exchange) hang(ctx context.Context) {
	l, ok := ctx.(*leash.Leash)
	if !ok {
		x.stop = context.AfterFunc(ctx, func() { x.Ended(nil) })
		return
	}
	if x.leash = l; !l.Hold(&x.tie, x) {
		x.Ended(nil)
	}
}

// Ended implements leash.Held.
func (x *exchange) Ended(error) { _ = x.conn.Close() }

// let has it not do so any more; false: it does already.
func (x *exchange) let() bool {
	if x.leash != nil {
		return x.leash.Let(&x.tie)
	}
	return x.stop()
}

// end lets go of the connection, once.
func (x *exchange) end(keep bool) {
	if x.ended.Swap(true) {
		return
	}
	counters.ended.Add(1)
	if x.let() && keep {
		x.caller.kept.put(x.conn)
		return
	}
	_ = x.conn.Close()
}
