package actors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/actors/gpu"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/leash"
)

// Results of a request, as the metrics have them.
const (
	resultOK     = "ok"
	resultStatus = "status"
	resultFailed = "failed"
	resultBroken = "broken"
	resultGone   = "gone"
)

var (
	errShutdown  = errors.New("the node shuts its engines down")
	errAbandoned = errors.New("nobody has read the answer for long")
	errUnmarked  = errors.New("the engine's answer does not tell where it ends")
	errClosed    = errors.New("the answer was closed")
)

// releaseTimeout bounds the wait for the load that remains.
const releaseTimeout = 50 * time.Millisecond

// A stream is an engine's answer. One goroutine reads; Close may come from any.
type stream struct {
	s        *System
	place    place
	instance spec.InstanceID
	request  string      // its id
	stream   bool        // was asked for as one
	messages bool        // asked for in Anthropic's form, of an engine that mixes tenants
	work     leash.Leash // the engine's
	tie      leash.Tie   // to work
	span     trace.Span
	resp     *http.Response
	moved    atomic.Int64 // Unix ns of the last read
	cut      atomic.Pointer[error]
	used     func()          // tells the crier of the end
	tenants  *engine.Tenants // from whom the engine's cache is to be hidden once there are several; nil: from nobody
	due      time.Time       // its deadline; zero: it has none

	prev, next *stream // in System.streams, which guards them

	// The reader's own.
	end   error // what further reads return
	first time.Time
	reads int // that brought something, and all that was there
	tally tally
	told  int              // of the tally's events
	blank *engine.Blanking // nil: nothing was to be hidden yet

	once sync.Once
	mu   struct {
		sync.Mutex
		load spec.Load
		left chan spec.Load // brings the load that remains; nil: it is load, or nothing was released yet
	}
}

// answer takes the engine's response over.
func (x *stream) answer(resp *http.Response) {
	x.resp = resp
	x.moved.Store(time.Now().UnixNano())
	if x.s.tracer != nil {
		x.span.SetAttributes(attribute.Int("http.response.status_code", resp.StatusCode))
	}
	// Whoever forgets to close, or waits for a read that does not return, is freed by the end of its context.
	if !x.work.Hold(&x.tie, x) {
		x.Ended(x.work.Cause())
	}
}

// Ended implements leash.Held.
func (x *stream) Ended(cause error) { x.finish(resultGone, cause, time.Time{}) }

func (x *stream) Status() int         { return x.resp.StatusCode }
func (x *stream) ContentType() string { return engine.Field(x.resp.Header, "Content-Type") }

// HeadLength implements spec.Headed.
func (x *stream) HeadLength() int {
	text := engine.Field(x.resp.Header, spec.HeadLengthHeader)
	if text == "" { // nearly always, and an error is made at a cost
		return 0
	}
	n, _ := strconv.Atoi(text)
	return max(n, 0)
}

// Load waits, once the place was given back, for the actor to say what remains.
func (x *stream) Load() (spec.Load, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.mu.left == nil {
		return x.mu.load, true
	}
	select {
	case x.mu.load = <-x.mu.left:
	default:
		limit := time.NewTimer(releaseTimeout)
		defer limit.Stop()
		select {
		case x.mu.load = <-x.mu.left:
		case <-limit.C:
			x.mu.load.Running = max(0, x.mu.load.Running-1)
		}
	}
	x.mu.left = nil
	return x.mu.load, true
}

// Read returns io.EOF once the engine has ended its answer as HTTP has it; whether
// an event stream was complete is for whoever reads events.
func (x *stream) Read(p []byte) (int, error) {
	if x.end != nil {
		return 0, x.end
	}
	n, err := x.resp.Body.Read(p)
	now := time.Now()
	before := x.moved.Swap(now.UnixNano())
	if n > 0 {
		if n < len(p)-len(p)/4 { // one that is filled, but for chunks' frames, is one of several pieces of what had come at once
			x.reads++
		}
		if x.first.IsZero() {
			x.first = now
			x.s.metrics.firstByte.Observe(now.Sub(x.place.since).Seconds())
			if err != io.EOF || x.stream { // else the place is given back at once
				x.speaks(now)
			}
		}
		if err == io.EOF && len(x.tally.tail) == 0 {
			x.tally.last = p[:n] // to be looked at below, and no longer
		} else {
			x.tally.add(p[:n])
			x.count(time.Duration(now.UnixNano() - before))
		}
		if x.tenants.Shared() {
			x.hide(p[:n])
		}
	}
	if err == nil {
		return n, nil
	}
	x.end = x.judge(err)
	switch {
	case x.end != io.EOF:
		x.finish(resultBroken, x.end, now)
	case x.resp.StatusCode >= http.StatusBadRequest:
		x.finish(resultStatus, nil, now)
	default:
		x.finish(resultOK, nil, now)
	}
	x.tally.last = nil
	return n, x.end
}

// speaks tells the device's actor that the answer has begun.
func (x *stream) speaks(now time.Time) {
	m := gpu.FirstByte{Lease: x.place.lease, Streamed: x.stream}
	if !x.place.lane.FirstByte(&m, now) {
		x.s.system.Root.Send(x.place.device, &gpu.FirstByte{Lease: m.Lease, Streamed: m.Streamed})
	}
}

// manyPieces and seldom are how many pieces are told together, and the time after which each is told.
const (
	manyPieces = 16
	seldom     = 25 * time.Millisecond
)

// count tells how many pieces have come, the last one so long after the one before: few words for many.
func (x *stream) count(waited time.Duration) {
	if n := x.tally.events - x.told; x.stream && n > 0 && (waited > seldom || n >= manyPieces) {
		if e, counts := engine.As[engine.Streams](x.place.engine); counts {
			e.Streamed().Add(uint64(n))
		}
		x.told += n
	}
}

func (x *stream) judge(err error) error {
	if err != io.EOF {
		if cut := x.cut.Load(); cut != nil {
			err = *cut
		}
		return fmt.Errorf("%w: instance %s: %w", spec.ErrBroken, x.instance, err)
	}
	// An answer that ends with its connection may have been cut anywhere. An event
	// stream has its own end mark.
	unmarked := x.resp.ContentLength < 0 && len(x.resp.TransferEncoding) == 0 && x.resp.ProtoMajor == 1
	if unmarked && !strings.HasPrefix(x.ContentType(), "text/event-stream") {
		return fmt.Errorf("%w: instance %s: %w", spec.ErrBroken, x.instance, errUnmarked)
	}
	return io.EOF
}

// Close ends the engine's work and gives the place back.
func (x *stream) Close() error {
	x.finish(resultGone, errClosed, time.Time{})
	return x.resp.Body.Close()
}

// abort ends the answer from outside: its reader is told why.
func (x *stream) abort(why error) {
	x.cut.CompareAndSwap(nil, &why)
	x.finish(resultGone, why, time.Time{})
}

// finish gives the place back, once. For the reader at the answer's end it also
// tells what was learnt; other callers leave the reader's fields alone. A time that is zero is taken here.
func (x *stream) finish(result string, err error, now time.Time) {
	x.once.Do(func() {
		if now.IsZero() {
			now = time.Now()
		}
		x.work.Let(&x.tie)
		x.work.End(nil)
		x.s.streams.remove(x)
		x.used()
		r := gpu.Release{Lease: x.place.lease}
		switch result {
		case resultOK:
			x.learn(&r, now)
		case resultStatus:
			r.RanOut = x.resp.StatusCode >= http.StatusInternalServerError && engine.RefusedForMemory(x.tally.end())
		}
		x.release(r, now)
		x.s.metrics.ended[result].Inc()
		took := now.Sub(x.place.since)
		x.s.metrics.seconds.Observe(took.Seconds())
		x.tell(result, took, err)
		endSpan(x.span, err)
	})
}

// tell writes one line: a warning where the engine failed, else for level debug.
func (x *stream) tell(result string, took time.Duration, err error) {
	level := slog.LevelDebug
	if result == resultFailed || result == resultBroken {
		level = slog.LevelWarn
	}
	if ctx := context.Background(); x.s.cfg.Log.Enabled(ctx, level) {
		x.s.cfg.Log.Log(ctx, level, "engine request", "request_id", x.request, "instance", x.instance, "result", result, "took", took, "error", err)
	}
}

// learn fills in what the whole answer tells of the engine's speed.
func (x *stream) learn(r *gpu.Release, now time.Time) {
	u := x.tally.usage()
	x.s.metrics.prompt.Add(float64(u.prompt))
	x.s.metrics.completion.Add(float64(u.completion))
	if x.s.tracer != nil {
		x.span.SetAttributes(attribute.Int("gen_ai.usage.input_tokens", u.prompt), attribute.Int("gen_ai.usage.output_tokens", u.completion))
	}
	r.Whole, r.PromptTokens, r.CompletionTokens = true, u.prompt, u.completion
	if x.stream {
		x.count(seldom + 1)
		r.Pieces = x.tally.events
	}
	if !x.stream || x.first.IsZero() {
		return
	}
	r.Prefill = x.first.Sub(x.place.since)
	// What came in a few pieces had piled up on the way: its time is not the engine's.
	if 4*x.reads >= u.completion {
		r.Decode = now.Sub(x.first)
	}
}

// release tells the device's actor.
func (x *stream) release(r gpu.Release, now time.Time) {
	if load, ok := x.place.lane.Release(&r, now); ok {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.mu.load = load
		return
	}
	left, m := make(chan spec.Load, 1), r
	m.Reply = left
	x.s.system.Root.Send(x.place.device, &m)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.left = left
}

// A tally counts an answer's events and looks for the usage, which stands near its end. What comes as whole
// events is looked at as it comes, and so is an answer that comes in one piece; of others the end is kept.
type tally struct {
	tail   []byte
	last   []byte // all of an answer, or what has come after whole events
	events int
	told   usage // in events that came whole
}

const tailSize = 4 << 10

var eventEnd = []byte("\n\n")

func (t *tally) add(b []byte) {
	t.events += bytes.Count(b, eventEnd)
	if len(t.tail) == 0 && bytes.HasSuffix(b, eventEnd) {
		t.look(b)
		return
	}
	b = b[max(0, len(b)-tailSize):]
	if over := len(t.tail) + len(b) - tailSize; over > 0 {
		t.tail = t.tail[:copy(t.tail, t.tail[over:])]
	}
	if t.tail = append(t.tail, b...); bytes.HasSuffix(t.tail, eventEnd) {
		t.look(t.tail)
		t.tail = t.tail[:0]
	}
}

// end is the end of an answer that has none of the marks of events.
func (t *tally) end() []byte {
	if len(t.last) > 0 {
		return t.last[max(0, len(t.last)-tailSize):]
	}
	return t.tail
}

// look takes in what whole events tell.
func (t *tally) look(b []byte) {
	if bytes.Contains(b, usageKey) {
		if u, ok := usageOf(b); ok {
			t.told = u
		}
	}
}

// usage is what the engine has told, or, of a stream without, the number of its
// events: one token each with most engines.
func (t *tally) usage() usage {
	for _, end := range [][]byte{t.last, t.tail} {
		if u, ok := usageOf(end); ok {
			return u
		}
	}
	if t.told != (usage{}) {
		return t.told
	}
	return usage{completion: max(0, t.events+bytes.Count(t.last, eventEnd)-2)} // the last chunk has no token, and neither has [DONE]
}
