package relay

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/openai"
)

// A body is a streamed answer as passOn writes it: in the connection's own
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
	intact  bool          // what is passed on begins and ends with events
	garbled []byte        // an event that is none, where edited came upon one
	over    bool          // nothing follows
	held    int           // bytes at the beginning of x.buf that were passed on
	pace    pace          // of the client
	fault   error         // how the stream ended, for the outcome
	shape   []byte        // what Exchange.Shape made of events
	edit    []byte        // what edited made of events
	chunk   openai.Chunk  // of the event that edited looks at
	seam    seam          // while another instance is looked for
	wrote   time.Time     // when something was last passed on
	told    bool          // how it was served, to a client that asks
	broke   error         // by which the stream has ended, once what came before it is passed on
	lastly  []byte        // the engine's own error event, while another instance is looked for in its place
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
	if b.seam.err != nil { // no other deployment's model goes on with this one's answer
		b.err = b.x.serve()
		return
	}
	b.err = b.x.run()
}

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
		for len(piece) > 0 {
			b.arm()
			n, err := w.Write(piece[:min(len(piece), maxWrite)])
			b.pace.took(n, time.Since(b.wrote), b.x.r.cfg.WriteStall, b.x.r.cfg.MinRate)
			total += int64(n)
			if err != nil {
				b.fault = ErrGone
				return total, err
			}
			piece = piece[n:]
		}
	}
}

// arm moves the write deadline on, now and then.
func (b *body) arm() {
	b.wrote = time.Now()
	if b.pace.armed.IsZero() {
		b.pace.patience = b.x.r.cfg.WriteStall
	}
	if patience, due := b.pace.due(b.wrote); due && b.x.Conn != nil {
		_ = b.x.Conn.SetWriteDeadline(b.wrote.Add(patience))
	}
}

// next returns what to send next; it is valid until the following call.
func (b *body) next() ([]byte, error) {
	for !b.over {
		if !b.waited {
			if piece := b.await(); piece != nil {
				return piece, nil
			}
			continue
		}
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
			return b.x.ping()
		}
	} else {
		<-b.ready
	}
	b.waited = true
	if b.seam.err != nil {
		return b.joined()
	}
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
			return b.fail(b.x.misfit())
		}
		if piece, err := b.events(); err != nil || len(piece) > 0 {
			return piece, err
		}
	}
	if b.lastly != nil {
		return b.disowned()
	}
	if err := b.broke; err != nil {
		b.broke = nil
		return b.broken(err)
	}
	x.buf = x.buf[:copy(x.buf, x.buf[b.held:])]
	b.held = 0
	x.fit()
	switch err := x.fill(); {
	case err == io.EOF, err != nil && b.ended:
		return b.finish()
	case err != nil:
		return b.broken(err)
	}
	return b.events()
}

// broken has the answer go on elsewhere, or ends it.
func (b *body) broken(err error) ([]byte, error) {
	x := b.x
	switch {
	case silentTruncation(), x.script.usage && b.complete():
		return b.completed()
	case x.late():
		err = errDeadline
	case b.resume(err):
		return nil, nil
	case b.complete() && x.r.watcher.finalCause(&x.watch) == nil:
		return b.completed()
	}
	x.last = err
	return b.fail(x.explain(err))
}

// disowned looks for another instance in place of the engine's own error, which the
// client gets if there is none.
func (b *body) disowned() ([]byte, error) {
	event := b.lastly
	b.lastly = nil
	if b.x.late() {
		b.x.last = errDeadline
		return b.fail(b.x.explain(errDeadline))
	}
	if b.resume(errEngine) {
		return nil, nil
	}
	return b.pass(event, true)
}

// lastWait is how long an engine may take to end a stream that it has said is whole.
const lastWait = time.Second

// maxEvent is the size from which an event is passed on in pieces.
const maxEvent = 1 << 20

// events returns what the client is to see of the complete events of x.buf.
func (b *body) events() ([]byte, error) {
	x := b.x
	if b.ended { // and goes on talking
		b.over = true
		return nil, nil
	}
	n, between := openai.EventEnd(x.buf), !b.torn
	b.intact = between
	switch {
	case n > 0:
		b.torn = false
	case x.shape() != nil && len(x.buf) > x.r.cfg.MaxAnswer:
		return b.fail(errTooLong)
	case x.shape() == nil && len(x.buf) > maxEvent:
		n, b.torn, b.intact = len(x.buf), true, false
	}
	b.held = n
	piece, err := b.pass(x.buf[:n], false)
	if x.Trace && b.ended && !b.told && between && err == nil {
		b.told = true
		piece = append(x.traceComment(), piece...)
	}
	x.watch.movable.Store(err == nil && !b.ended && !b.over && b.mayResume() == "")
	return piece, err
}

// pass takes note of events and returns what the client is to see of them. An error
// of the engine's is kept back while another instance may do better, unless it is final.
// What follows the event that ends the stream is left out.
func (b *body) pass(events []byte, final bool) ([]byte, error) {
	n, done, failed := b.x.ending(events)
	events = events[:n]
	var said *spec.Error
	if failed {
		last := openai.LastEvent(events)
		said = b.x.said(events[last:])
		if !final && said.Code.Lookup().Status >= http.StatusInternalServerError && (b.mayResume() == "" || b.x.late()) {
			b.lastly = append([]byte(nil), events[last:]...)
			events, said = events[:last], nil
		}
	}
	b.x.keepTail(events)
	kept := b.edited(events)
	if len(b.garbled) > 0 {
		return b.spoilt(kept, final)
	}
	if done && b.unfinished() {
		return b.cutShort(kept)
	}
	if b.last(done, said); b.ended {
		if err := b.x.settle(b.fault); err != nil {
			return b.unsettled(kept, err)
		}
	}
	piece, err := b.shaped(kept)
	if err != nil {
		return b.fail(err)
	}
	return piece, nil
}

// spoilt passes on what came before an event that is none, and an error in place of that
// where no other instance may do better.
func (b *body) spoilt(kept []byte, final bool) ([]byte, error) {
	event := b.garbled
	b.garbled = nil
	piece, err := b.shaped(kept)
	if err != nil {
		return b.fail(err)
	}
	if !final && (b.mayResume() == "" || b.x.late()) {
		b.lastly = event
		return piece, nil
	}
	b.x.grant.Erred()
	end, gone := b.fail(openai.Garbled(event))
	return append(piece[:len(piece):len(piece)], end...), gone
}

// unsettled passes on what comes before the engine's last event, and an error in
// place of that.
func (b *body) unsettled(kept []byte, err error) ([]byte, error) {
	b.fault = nil
	piece, shapeErr := b.shaped(kept[:openai.LastEvent(kept)])
	if shapeErr != nil {
		piece = nil
	}
	end, gone := b.fail(err)
	return append(piece[:len(piece):len(piece)], end...), gone
}

// last takes note of the engine's last event: [DONE], or its own error.
func (b *body) last(done bool, said *spec.Error) {
	if !done && said == nil {
		return
	}
	b.ended = true
	b.x.r.watcher.expect(&b.x.watch, b.x.grant.Node, lastWait)
	if b.fault = nil; said != nil {
		b.fault = said
		if said.Code.Lookup().Status >= http.StatusInternalServerError {
			b.x.grant.Erred()
		}
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
	if done, failed := x.done(x.buf); done || failed { // and left out the empty line
		x.buf, b.intact = append(x.buf, "\n\n"...), !b.torn
		piece, err := b.pass(x.buf, false)
		b.over = b.over && b.lastly == nil && b.broke == nil
		return piece, err
	}
	b.over = false
	return b.broken(spec.ErrBroken) // what is left of an event says nothing
}

// fail ends the stream with an error event, and without [DONE].
func (b *body) fail(err error) ([]byte, error) {
	b.over = true
	if errors.Is(err, errStatus) {
		err = b.x.misfit()
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
	_ = b.x.settle(err) // the client is told of what ended it, one way or the other
	return b.x.failed(lead, asPublic(err)), nil
}

// Close ends the exchange: it is called when the answer has been written, or cannot
// be.
func (b *body) Close() error {
	select {
	case <-b.ready:
	default:
		b.x.r.watcher.leave(&b.x.watch)
		<-b.ready
	}
	if b.seam.err != nil {
		b.seam.end(ErrGone)
	}
	gone := (b.fault == nil && !b.over) || errors.Is(b.x.r.watcher.finalCause(&b.x.watch), errClientGone)
	if gone && !b.ended { // a client that has all may leave before the engine's last word
		b.fault = ErrGone
	}
	b.x.end(b.fault)
	return nil
}
