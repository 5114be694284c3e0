package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/leash"
	"github.com/lotabots/lotabots/cluster/spec/pool"
	"github.com/lotabots/lotabots/gateway/balance"
	"github.com/lotabots/lotabots/gateway/openai"
)

// An Exchange is one request on its way. The caller fills the first block and
// leaves Body as it is for ever: an opener may look at it after its answer.
type Exchange struct {
	Context  context.Context // carries the caller's span
	Call     spec.Call
	Body     []byte
	Query    balance.Query
	Conn     net.Conn
	Raw      bool           // an answer of status 200 is in no form that is known here: it passes on as it comes
	Object   bool           // an answer of status 200 that is not streamed is a JSON object, whatever type the engine gives it
	Topology bool           // the client may see which node serves it
	Instead  string         // the deployment that serves in place of what the client asked for; empty: none does
	Trace    bool           // the client asks how it is served
	Shape    Shape          // nil: the answer as it came
	Native   *Native        // the request for engines that speak the client's API themselves; nil: none is asked in it
	Bypass   bool           // its deployment keeps answers, but none is kept or looked for here
	Hedge    bool           // a second instance may be asked where the first is late
	Done     func(*Outcome) // called once, when everything has ended; it keeps nothing of what it is given
	// Settle is called at most once, just before the last bytes of an answer go out:
	// the whole of it, a stream's last event, or the error instead. It may block for
	// a short while. Its error is what a client whose answer is whole gets then. It is
	// not called for clients that have left before, nor while a panic is handled.
	Settle func(*Outcome) error
	Room   Room // that large answers take their memory of; nil: there is no bound
	// Fallback is the n-th deployment to try where those before it cannot serve; false:
	// there is no further one. nil: there is none.
	Fallback func(n int) (Alternative, bool)
	Came     time.Time // when the request did; zero: as Serve is called

	r     *Relay
	began time.Time
	watch watch
	out   Outcome       // what outcome tells is of when it was last called
	held  time.Duration // as Outcome.Held, by attempts that have ended

	work     *leash.Leash // of the present attempt; somebody may look at it for long
	working  bool         // work has not ended
	grant    balance.Grant
	stream   spec.Stream
	extra    spec.Stream // of a broken build alone: see double.go
	failures int
	refusals int
	brokeOff int    // instances whose engine broke off over the request, those of earlier deployments included
	again    bool   // an instance may be, or was, tried a second time
	last     error  // of the last attempt that failed
	fell     string // the alternative that is asked; empty: the deployment itself

	contentType string
	headLength  int  // as spec.Headed has it
	hides       bool // what was cached for one attempt or another

	buf    []byte // bytes that came and were not passed on yet
	taken  int    // of Room, for buf
	came   int    // bytes, by the last read that brought some
	tail   []byte // the last bytes of the answer
	closed bool
	brief  bool // nobody but its own goroutine has seen it

	usage    openai.Usage // that the answer's end tells, where counted
	hasUsage bool
	counted  bool
	cached   cached // how the present attempt was answered

	settled bool
	judged  bool // the canary's judge was told of it

	usual    string // path at engines that get the request as Body
	native   bool   // the present one gets it as Native
	asking   asking // of the present attempt
	wanted   bool   // the client asked for the usage itself
	script   transcript
	resuming bool // something was passed on of an attempt that broke off
	resumes  int
	left     []spec.InstanceID // that have broken off
	excluded int               // by the caller
	queued   time.Duration     // waited for places
	shift    int               // tokens of the answer that the present engine counts as the prompt's
}

// An Outcome is how a request ended.
type Outcome struct {
	Err       *spec.Error // nil: the engine's answer was passed on whole
	Gone      bool        // the client left
	Status    int         // the engine's
	Node      spec.NodeID // that served it
	Attempts  int
	Expected  int           // prompt tokens that the engine was expected to hold
	FirstByte time.Duration // 0: none came
	Held      time.Duration // for which it held slots of engines, all attempts
	Usage     openai.Usage
	HasUsage  bool             // the engine told it
	Estimated bool             // it did not: Usage was counted by what passed of a stream
	Resumes   int              // times that another instance went on with the answer
	Cache     spec.CacheResult // "": no cache was asked
}

// ErrGone says that the client has left, so that nobody wants an answer.
var ErrGone = errors.New("client is gone")

// begin prepares x.
func (r *Relay) begin(x *Exchange) {
	if x.Trace && x.Topology {
		x.Query.Why = new(balance.Reasons)
	}
	x.fell, x.usual = x.Instead, x.Call.Path
	x.r, x.began, x.excluded = r, x.Came, len(x.Query.Exclude)
	if x.began.IsZero() {
		x.began = time.Now()
	}
	r.budgets.request(x.Call.Deployment, x.began)
	r.watcher.add(&x.watch, x.Conn, x.Call.Deadline)
}

// end closes what is open and tells the caller. Only the first call counts.
func (x *Exchange) end(err error) {
	if x.closed {
		return
	}
	x.closed = true
	x.brief = x.r.watcher.remove(&x.watch)
	x.drop()
	x.makeRoom()
	defer x.letGo()
	out := x.outcome(err)
	if out.HasUsage && out.Usage.HasCached {
		x.grant.Found(out.Usage.Cached)
	}
	x.concluded(out)
	if x.Done != nil {
		x.Done(out)
	}
}

// Again makes x, whose request has ended, as good as new; false: somebody may still
// look at it. Nobody does where it was answered as a whole, by one attempt at a time, and soon.
func (x *Exchange) Again() bool {
	if !x.closed || !x.brief || x.Call.Stream || x.Raw || x.Hedge || x.Fallback != nil || x.Call.Cache != nil {
		return false
	}
	*x = Exchange{}
	return true
}

// settle calls Settle, once, for a client that is still there.
func (x *Exchange) settle(err error) error {
	if x.settled || x.Settle == nil || errors.Is(err, ErrGone) {
		return nil
	}
	x.settled = true
	return x.Settle(x.outcome(err))
}

// outcome is how x ends with err. It is x's own, and good until the next call.
func (x *Exchange) outcome(err error) *Outcome {
	out := &x.out
	x.reckon(err, out)
	if x.hides {
		out.Usage.Cached, out.Usage.HasCached = 0, false
	}
	return out
}

// reckon fills out in with all that the engine's answer has.
func (x *Exchange) reckon(err error, out *Outcome) {
	out.Err, out.Gone, out.Estimated = nil, errors.Is(err, ErrGone), false
	if err != nil && !out.Gone {
		out.Err = asPublic(err)
	}
	if out.Held = x.held; x.stream != nil && !x.cached.free() {
		out.Held += x.holding()
	}
	out.Cache = x.cached.how
	out.Resumes = x.resumes
	if x.native {
		if out.Usage, out.HasUsage = x.Native.Shape.Usage(); !out.HasUsage {
			out.Usage.Prompt, out.Estimated = max(out.Usage.Prompt, x.Call.PromptTokens), out.Usage.Completion > 0
		}
		return
	}
	if !x.counted { // at the end it is asked for twice
		x.count(x.tail)
	}
	if out.Usage, out.HasUsage = x.usage, x.hasUsage; out.HasUsage {
		out.Usage.Prompt -= min(x.shift, out.Usage.Prompt)
		out.Usage.Completion += x.shift
	} else if n := x.script.completion(); n > 0 {
		out.Usage, out.Estimated = openai.Usage{Prompt: x.Call.PromptTokens, Completion: n}, true
	}
}

// drop closes the present attempt and gives its place back.
func (x *Exchange) drop() {
	var last spec.Load
	told := false
	if x.stream != nil {
		_ = x.stream.Close()
		last, told = x.stream.Load()
		if !x.cached.free() {
			x.held += x.holding()
		}
		x.stream = nil
	}
	if x.extra != nil {
		_ = x.extra.Close()
		x.extra = nil
	}
	if x.working {
		x.working = false
		if !x.closed { // else nobody watches any more
			_ = x.r.watcher.attempt(&x.watch, nil)
		}
		x.work.End(nil)
	}
	if told {
		x.grant.ReleaseTold(&last)
	} else {
		x.grant.Release()
	}
}

// holding is for how long the present attempt has held a slot: what its node told, where
// it shared one.
func (x *Exchange) holding() time.Duration {
	if t, ok := x.stream.(spec.Timed); ok {
		if d, told := t.Held(); told {
			return d
		}
	}
	return time.Since(x.grant.Began)
}

// serve makes attempts until one has something for the client: the whole answer,
// or the first events of a stream, in x.buf.
func (x *Exchange) serve() error {
	if x.Call.Cache != nil {
		if done, err := x.recall(); done {
			return err
		}
	}
	for {
		if err := x.place(); err != nil {
			return x.explain(x.blame(err))
		}
		err := x.open()
		if err == nil {
			err = x.receive()
		}
		if err == nil && x.unserved() {
			x.drop()
			continue
		}
		if err == nil {
			x.answered()
			return nil
		}
		if final := x.judge(err); final != nil {
			return x.explain(final)
		}
	}
}

// answered says that the present instance has answered.
func (x *Exchange) answered() {
	if x.streaming() || x.raw() {
		x.grant.Answered()
		return
	}
	x.grant.AnsweredWhole()
}

// place begins an attempt: it takes a place, and waits for one where it has to.
func (x *Exchange) place() error {
	if err := x.attempt(); err != nil {
		return err
	}
	end := x.r.span(x, "gateway.route")
	waited, err := x.r.cfg.Table.Acquire(x.work, &x.Query, &x.grant)
	x.queued += waited
	x.r.metrics.queueWait[x.Query.Priority.Band()].Observe(waited.Seconds())
	end(err)
	return err
}

// attempt begins the work of an attempt; the error is why there must be none.
func (x *Exchange) attempt() error {
	x.work = new(leash.Leash)
	x.work.Begin(x.Context, time.Time{})
	x.working = true
	return x.r.watcher.attempt(&x.watch, x.work)
}

// open opens the attempt's stream.
func (x *Exchange) open() error {
	x.choose()
	x.cached = cached{}
	x.out.Attempts++
	x.Call.Alone = x.brokeOff > 0
	x.Call.Attempt, x.Call.Version, x.Call.CachedTokens = x.out.Attempts, x.grant.Version, x.grant.Cached
	limit := x.r.cfg.Whole
	if x.Call.Stream {
		limit = time.Duration(x.r.first.Load())
	}
	x.r.watcher.expect(&x.watch, x.grant.Node, limit)
	end := x.r.openSpan(x)
	stream, err := x.send()
	end(err)
	if err != nil {
		return x.blame(err)
	}
	x.stream = stream
	x.out.Status, x.out.Node, x.contentType = stream.Status(), x.grant.Node, stream.ContentType()
	x.out.Expected = x.grant.Held
	x.hides = x.hides || hides(stream)
	x.headLength = 0
	if headed, ok := stream.(spec.Headed); ok {
		x.headLength = headed.HeadLength()
	}
	if x.Call.Cache != nil { // before the load is taken in, of which its place is part
		x.recalled()
	}
	if x.Call.Stream || x.Raw { // else it is as old as the request, and what is told at the end comes soon
		if l, ok := stream.Load(); ok {
			x.grant.Learn(l)
		}
	}
	x.doubleDispatch()
	return nil
}

// send composes the body and opens the stream.
func (x *Exchange) send() (spec.Stream, error) {
	body, err := x.compose()
	if err != nil {
		return nil, err
	}
	return x.dial(body)
}

// streaming tells whether the answer is to be passed on as it comes.
func (x *Exchange) streaming() bool {
	return x.Call.Stream && x.stream != nil && x.stream.Status() == http.StatusOK &&
		strings.HasPrefix(x.stream.ContentType(), eventStream)
}

// receive reads the first events of a stream, or the whole of another answer.
func (x *Exchange) receive() error {
	x.buf, x.tail, x.counted = x.buf[:0], x.tail[:0], false
	streaming := x.streaming() && !x.Raw
	for {
		err := x.fill()
		switch {
		case err == io.EOF && streaming:
			return x.checkEnd()
		case err == io.EOF && x.raw() && x.rawEvents() && (len(x.buf) == 0 || inEvent(x.buf)):
			return errCutEvent
		case err == io.EOF:
			x.count(x.buf[max(0, len(x.buf)-openai.TailSize):])
			return x.checkAnswer()
		case err != nil:
			return err
		case x.raw() && (!x.rawEvents() || openai.EventEnd(x.buf) > 0 || len(x.buf) > maxEvent):
			x.r.watcher.expect(&x.watch, x.grant.Node, time.Duration(x.r.between.Load()))
			return x.firstWord()
		case streaming && x.follows() && !x.script.finished(1) && openai.Hollow(x.buf):
			return errUnfinished
		case streaming && openai.EventEnd(x.buf) > 0:
			x.r.watcher.expect(&x.watch, x.grant.Node, time.Duration(x.r.between.Load()))
			return nil
		case len(x.buf) > x.r.cfg.MaxAnswer:
			return errTooLong
		}
	}
}

// checkEnd looks at a stream that ended before its first whole event. One that
// says nothing at all is worth another attempt.
func (x *Exchange) checkEnd() error {
	switch done, failed := x.done(x.buf); {
	case done && x.follows() && !x.script.finished(1):
		return errUnfinished
	case done, failed:
		return nil
	}
	return fmt.Errorf("%w: the stream ended without an event", spec.ErrBroken)
}

// fill reads what there is to x.buf.
func (x *Exchange) fill() error {
	var err error
	if x.buf == nil {
		x.buf = buffers.Get()[:0]
	}
	if x.buf, err = grown(x.buf, x.r.cfg.MaxAnswer, x.Room, &x.taken); err != nil {
		return err
	}
	n, err := x.stream.Read(x.buf[len(x.buf):cap(x.buf)])
	x.buf = x.buf[:len(x.buf)+n]
	if n > 0 {
		x.came = n
		x.r.watcher.touch(&x.watch)
		if x.out.FirstByte == 0 {
			x.out.FirstByte = time.Since(x.began)
		}
		return nil // an error comes again
	}
	if err != nil && err != io.EOF {
		return x.blame(err)
	}
	return err
}

// buffers are what answers are read to. One that has grown is not kept.
var buffers = pool.New("answers", func() *[firstRead]byte { return new([firstRead]byte) })

// quietRead is the size of buffer that waits for the next piece of a stream whose last was small.
const quietRead = 1 << 10

var quietBuffers = pool.New("quiet-streams", func() *[quietRead]byte { return new([quietRead]byte) })

// fit has a stream wait with no larger a buffer than its last piece tells that it needs.
func (x *Exchange) fit() {
	switch small := x.came <= quietRead/2; {
	case len(x.buf) > 0:
	case small && cap(x.buf) == firstRead:
		x.letGo()
		x.buf = quietBuffers.Get()[:0]
	case !small && cap(x.buf) == quietRead:
		x.letGo() // fill takes another
	}
}

// letGo gives x.buf back, which nobody may look at any more.
func (x *Exchange) letGo() {
	switch cap(x.buf) {
	case firstRead:
		buffers.Put((*[firstRead]byte)(x.buf[:firstRead]))
	case quietRead:
		quietBuffers.Put((*[quietRead]byte)(x.buf[:quietRead]))
	}
	x.buf = nil
}

// count reads from the end of the answer what it took.
func (x *Exchange) count(end []byte) {
	x.usage, x.hasUsage = openai.UsageOf(end)
	x.counted = true
}

func (x *Exchange) keepTail(b []byte) {
	x.counted = false
	if len(b) >= openai.TailSize {
		x.tail = append(x.tail[:0], b[len(b)-openai.TailSize:]...)
		return
	}
	if over := len(x.tail) + len(b) - openai.TailSize; over > 0 {
		x.tail = x.tail[:copy(x.tail, x.tail[over:])]
	}
	x.tail = append(x.tail, b...)
}
