package hop

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"sync/atomic"

	"github.com/lotabots/lotabots/cluster/spec/leash"
	"github.com/lotabots/lotabots/cluster/spec/pool"
)

// MostBody is the size up to which a body is sent without reading meanwhile: a server
// that answers before it has read it all must not wait for who waits for it.
const MostBody = 64 << 10

// A Caller sends requests to one server. Its fields are set before the first.
type Caller struct {
	Dial func(ctx context.Context) (net.Conn, error)
	Host string // the header's

	kept kept
	last atomic.Pointer[head] // of an answer
}

// A Request is one request. Method and Path are written as they are, and so must be
// ones that nobody can misread.
type Request struct {
	Method string
	Path   string
	Header []Field
	Body   []byte
	Last   bool // no other request follows on its connection
}

// A Field is one line of a header. Lines whose value has a line end are left out.
type Field struct{ Name, Value string }

// heads are what requests' heads, and small requests, are written to, and answers'
// heads are read to.
var heads = pool.New("engine-heads", func() *[]byte { b := make([]byte, 0, headSize); return &b })

const (
	headSize = 4 << 10
	oneWrite = 16 << 10 // up to which head and body are sent by one write
)

// Do sends r and returns once the answer's head is there, whose fields are not to be changed. The error of a failed dial is
// the dialler's own; every other one says that the server may have had the request.
func (c *Caller) Do(ctx context.Context, r *Request) (*http.Response, error) {
	for {
		k, again, err := c.connection(ctx, r.Last)
		if err != nil {
			return nil, err
		}
		x := &exchange{caller: c, conn: k, keep: !r.Last, headless: r.Method == http.MethodHead}
		x.hang(ctx)
		wrote, err := x.ask(r, again)
		switch {
		case errors.Is(err, errStale):
			counters.stale.Add(1)
			x.let()
			_ = k.Close()
			continue
		case err != nil && wrote == 0 && again && ctx.Err() == nil:
			x.end(false) // the server closed it between our look and our word
			continue
		}
		unsent := err
		if err = x.receive(); err == nil { // also of a server that did not read all
			return &x.answer, nil
		}
		if unsent != nil {
			err = unsent
		}
		x.end(false)
		if ctx.Err() != nil {
			return nil, leash.Cause(ctx)
		}
		return nil, err
	}
}

// Close closes the connections that wait. Requests under way end as they would.
func (c *Caller) Close() { c.kept.close() }

// connection is one that waits, or a new one.
func (c *Caller) connection(ctx context.Context, fresh bool) (k *conn, again bool, err error) {
	if !fresh {
		if k = c.kept.take(); k != nil {
			return k, true, nil
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, false, leash.Cause(ctx)
	}
	dialled, err := c.Dial(ctx)
	if err != nil {
		return nil, false, err
	}
	counters.dialled.Add(1)
	return newConn(dialled), false, nil
}

// errStale is of a connection that was kept and on which something has come, an end mostly. Nothing was sent on it.
var errStale = errors.New("the server has closed the connection")

// ask writes the request, and tells how much of it was taken. What came of an answer by then is x.rest.
func (x *exchange) ask(r *Request, again bool) (wrote int64, err error) {
	lent := heads.Get()
	b := appendHead((*lent)[:0], x.caller.Host, r)
	k, small := x.conn, len(b)+len(r.Body) <= oneWrite
	if small {
		b = append(b, r.Body...)
	}
	if small && k.raw != nil {
		t := k.travel(b, b[:cap(b)], again)
		switch {
		case t.stale:
			err = errStale
		case t.read > 0:
			*lent = b
			x.lent, x.rest = lent, b[:t.read]
			return int64(t.wrote), nil
		case t.sent || t.err != nil:
			wrote, err = int64(t.wrote), t.err
		default: // the kernel takes no more at once
			var n int
			n, err = k.Write(b[t.wrote:])
			wrote = int64(t.wrote + n)
		}
		giveBack(lent, b)
		return wrote, err
	}
	if again {
		if !k.quiet() {
			giveBack(lent, b)
			return 0, errStale
		}
		counters.reused.Add(1)
	}
	if small {
		n, err := k.Write(b)
		giveBack(lent, b)
		return int64(n), err
	}
	parts := net.Buffers{b, r.Body}
	wrote, err = parts.WriteTo(k.Conn)
	giveBack(lent, b)
	return wrote, err
}

// giveBack returns a buffer that may have grown.
func giveBack(lent *[]byte, grown []byte) {
	if cap(grown) <= oneWrite {
		*lent = grown
	}
	heads.Put(lent)
}

func appendHead(b []byte, host string, r *Request) []byte {
	b = append(append(append(b, r.Method...), ' '), r.Path...)
	b = append(append(b, " HTTP/1.1\r\nHost: "...), host...)
	for _, f := range r.Header {
		if !written(f.Value) {
			continue
		}
		b = append(append(append(append(b, "\r\n"...), f.Name...), ": "...), f.Value...)
	}
	if r.Last {
		b = append(b, "\r\nConnection: close"...)
	}
	if len(r.Body) > 0 || r.Method != http.MethodGet && r.Method != http.MethodHead {
		b = appendInt(append(b, "\r\nContent-Length: "...), len(r.Body))
	}
	return append(b, "\r\n\r\n"...)
}

func written(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

func appendInt(b []byte, n int) []byte {
	var digits [20]byte
	at := len(digits)
	for {
		at--
		digits[at] = byte('0' + n%10)
		if n /= 10; n == 0 {
			return append(b, digits[at:]...)
		}
	}
}

// receive reads the answer's head.
func (x *exchange) receive() error {
	lent, b := x.lent, x.rest
	if x.lent, x.rest = nil, nil; lent == nil {
		lent = heads.Get()
		b = (*lent)[:0]
	}
	for informed, looked := 0, 0; ; {
		var end int
		h := x.caller.known(b)
		if h != nil {
			end = len(h.text)
		} else {
			end = headEnd(b, looked-2)
		}
		looked = len(b)
		if end < 0 {
			if len(b) > mostHead {
				giveBack(lent, b)
				return errHeadSize
			}
			var err error
			if b, err = x.more(b); err != nil {
				giveBack(lent, b)
				return err
			}
			continue
		}
		var err error
		if h == nil {
			h, err = x.caller.head(b[:end])
		}
		switch {
		case err != nil:
			giveBack(lent, b)
			return err
		case h.status/100 == 1 && h.status != http.StatusSwitchingProtocols && informed < mostInforming:
			informed++
			b, looked = b[:copy(b, b[end:])], 0
			continue
		case h.status/100 == 1:
			giveBack(lent, b)
			return errInforming
		}
		x.begin(h)
		if rest := b[end:]; len(rest) > 0 && !x.chunks.over {
			*lent = b
			x.lent, x.rest = lent, rest
			return nil
		} else if len(rest) > 0 {
			x.keep = false // bytes that nobody asked for
		}
		giveBack(lent, b)
		if x.chunks.over {
			x.end(x.keep)
		}
		return nil
	}
}

// more appends what comes to b.
func (x *exchange) more(b []byte) ([]byte, error) {
	if cap(b)-len(b) < headSize/4 {
		b = append(make([]byte, 0, 2*cap(b)), b...)
	}
	n, err := x.conn.Read(b[len(b):cap(b)])
	b = b[:len(b)+n]
	if n > 0 {
		return b, nil
	}
	if err == io.EOF && len(b) > 0 {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

var (
	errHeadSize  = errors.New("the answer's head is too large")
	errInforming = errors.New("the server informs and does not answer")
)

const (
	mostHead      = 64 << 10
	mostInforming = 8
	mostFields    = 256
)

// canonical is a header's name as http.Header has it.
func canonical(name string) string {
	for _, known := range common {
		if len(known) == len(name) && known == name {
			return known
		}
	}
	return textproto.CanonicalMIMEHeaderKey(name)
}

var common = []string{"Content-Type", "Content-Length", "Date", "Transfer-Encoding", "Connection", "Server", "Cache-Control"}
