package relay

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/openai"
)

// A body is a streamed answer as fasthttp writes it: in the connection's own
// goroutine, straight from the engine's stream, so that a slow reader slows the
// engine down and nothing piles up in between. Only the way to the first events
// has a goroutine of its own, so that comments can be sent meanwhile.
//
// Events are passed on whole: a stream that breaks inside one loses that piece,
// and the error event that follows stands alone.
type body struct {
	x       *Exchange
	ready   chan struct{} // closed when produce has ended
	err     error         // of produce; to be read after ready
	pinging bool          // the answer began before its first events were there
	waited  bool          // for ready
	pinged  bool          // at least once
	sent    bool          // what produce left in x.buf was passed on
	ended   bool          // the engine's last event was passed on: what breaks after it is nobody's loss
	torn    bool          // what was passed on last ends inside an event
	over    bool          // nothing follows
	held    int           // bytes at the beginning of x.buf that were passed on
	armed   time.Time     // when the write deadline was last set
	fault   error         // how the stream ended, for the outcome
	rest    []byte        // of Read
}

var ping = []byte(": ping\n\n")

// produce makes attempts until there is something to pass on.
func (b *body) produce() {
	defer close(b.ready)
	defer func() {
		if p := recover(); p != nil {
			b.err = b.x.r.recovered(b.x, p)
		}
	}()
	b.err = b.x.run()
}

// SupportsBodyWriteTo lets fasthttp call WriteTo, which gives the same bytes as Read.
func (b *body) SupportsBodyWriteTo() bool { return true }

// WriteTo passes the answer on until its end, or until the client is gone.
func (b *body) WriteTo(w io.Writer) (total int64, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = b.x.r.recovered(b.x, p)
			b.fault = err
		}
	}()
	for {
		piece, err := b.next()
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		b.arm()
		n, err := w.Write(piece)
		total += int64(n)
		if err != nil {
			b.fault = ErrGone
			return total, err
		}
	}
}

// Read gives what WriteTo would write, which the server prefers.
func (b *body) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		piece, err := b.next()
		if err != nil {
			return 0, err
		}
		b.rest = piece
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// arm moves the write deadline on, at most once a second.
func (b *body) arm() {
	now := time.Now()
	if b.x.Conn == nil || now.Sub(b.armed) < time.Second {
		return
	}
	b.armed = now
	_ = b.x.Conn.SetWriteDeadline(now.Add(b.x.r.cfg.WriteStall))
}

// next returns what to send next; it is valid until the following call.
func (b *body) next() ([]byte, error) {
	if !b.waited {
		if piece := b.await(); piece != nil {
			return piece, nil
		}
	}
	for !b.over {
		piece, err := b.step()
		if err != nil || len(piece) > 0 {
			return piece, err
		}
	}
	return nil, io.EOF
}

// await waits for the first events; a piece that is not nil goes out meanwhile.
func (b *body) await() []byte {
	if b.pinging {
		pause := b.x.r.cfg.PingAfter
		if !b.pinged { // it has passed already
			pause = 0
		}
		timer := time.NewTimer(pause)
		defer timer.Stop()
		select {
		case <-b.ready:
		case <-timer.C:
			b.pinged = true
			b.x.r.metrics.pings.Inc()
			return ping
		}
	} else {
		<-b.ready
	}
	b.waited = true
	if b.pinging { // the headers had gone before it was known
		return b.x.note()
	}
	return nil
}

// step passes on what is there, or reads on.
func (b *body) step() ([]byte, error) {
	x := b.x
	if b.err != nil {
		return b.fail(b.err)
	}
	if !b.sent {
		b.sent = true
		if !x.streaming() { // it answered in one piece after the stream had begun
			return b.fail(b.misfit())
		}
		if piece := b.events(); len(piece) > 0 {
			return piece, nil
		}
	}
	x.buf = x.buf[:copy(x.buf, x.buf[b.held:])]
	b.held = 0
	switch err := x.fill(); {
	case err == io.EOF, err != nil && b.ended:
		return b.finish()
	case err != nil:
		x.last = err
		return b.fail(x.explain(err))
	}
	return b.events(), nil
}

// lastWait is how long an engine may take to end a stream that it has said is whole.
const lastWait = time.Second

// maxEvent is the size from which an event is passed on in pieces.
const maxEvent = 1 << 20

// events returns the complete events of x.buf.
func (b *body) events() []byte {
	x := b.x
	n := openai.EventEnd(x.buf)
	if n > 0 {
		b.torn = false
	} else if len(x.buf) > maxEvent {
		n, b.torn = len(x.buf), true
	}
	b.held = n
	x.keepTail(x.buf[:n])
	b.last()
	return x.buf[:n]
}

// last takes note of the engine's last event: [DONE], or its own error.
func (b *body) last() {
	done, failed := openai.Done(b.x.tail)
	if !done && !failed {
		return
	}
	if !b.ended {
		b.ended = true
		b.x.r.watcher.expect(&b.x.watch, b.x.grant.Node, lastWait)
	}
	if b.fault = nil; failed {
		b.fault = &spec.Error{Code: spec.CodeUpstream, Message: "The engine ended the stream with an error."}
	}
}

// finish checks that the engine's stream came to its proper end.
func (b *body) finish() ([]byte, error) {
	x := b.x
	if x.extra != nil {
		x.nextExtra()
		return nil, nil
	}
	b.over = true
	if b.ended {
		return nil, nil
	}
	x.keepTail(x.buf)
	if b.last(); b.ended { // and left out the empty line
		return append(x.buf, "\n\n"...), nil
	}
	return b.fail(x.explain(spec.ErrBroken)) // what is left of an event says nothing
}

// misfit is an engine's answer that is no stream, as the error it is.
func (b *body) misfit() error {
	x := b.x
	code := spec.CodeUpstream
	switch {
	case x.out.Status == http.StatusTooManyRequests:
		code = spec.CodeBusy
	case x.out.Status >= 400 && x.out.Status < 500:
		code = spec.CodeInvalidRequest
	}
	return &spec.Error{Code: code, Message: "The engine answered with status " + strconv.Itoa(x.out.Status) + ": " + excerpt(x.buf)}
}

// fail ends the stream with an error event, and without [DONE].
func (b *body) fail(err error) ([]byte, error) {
	b.over = true
	if errors.Is(err, errStatus) {
		err = b.misfit()
	}
	b.fault = err
	if errors.Is(err, ErrGone) {
		return nil, ErrGone
	}
	reason := err
	if b.x.last != nil {
		reason = b.x.last
	}
	b.x.r.metrics.breaks.WithLabelValues(reasonOf(reason)).Inc()
	var lead []byte
	if b.torn {
		lead = []byte("\n\n")
	}
	return openai.AppendErrorEvent(lead, asPublic(err), b.x.Call.RequestID), nil
}

// Close ends the exchange: fasthttp calls it when the answer has been written
// or cannot be.
func (b *body) Close() error {
	select {
	case <-b.ready:
	default:
		b.x.r.watcher.leave(&b.x.watch)
		<-b.ready
	}
	gone := (b.fault == nil && !b.over) || errors.Is(b.x.r.watcher.finalCause(&b.x.watch), errClientGone)
	if gone && !b.ended { // a client that has all may leave before the engine's last word
		b.fault = ErrGone
	}
	b.x.end(b.fault)
	return nil
}
