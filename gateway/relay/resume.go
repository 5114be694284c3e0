package relay

import (
	"errors"
	"strconv"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/balance"
	"github.com/lotabots/lotabots/gateway/openai"
)

// maxResumes bounds how often one answer is resumed.
const maxResumes = 5

// errUnfinished says that the engine ended its stream with [DONE], but not its answer.
var errUnfinished = errors.New("the engine ended its stream before its answer was complete")

// errEngine says that the engine ended its stream with an error of its own.
var errEngine = errors.New("engine ended its stream with an error")

// mayResume says why the stream that broke off cannot be continued elsewhere; empty:
// it is worth asking.
func (b *body) mayResume() string {
	x := b.x
	switch {
	case !x.follows():
		return "not_text"
	case b.torn:
		return "inside_an_event"
	case x.resumes >= maxResumes:
		return "too_often"
	case x.script.silent():
	case x.script.tokensWhole() && x.grant.Able.Can&spec.AbleTokens != 0:
	case x.script.finished(1):
		return "finished"
	case x.grant.Able.Can&spec.AbleContinue == 0:
		return "engine"
	case x.script.calls:
		return "tool_call"
	case x.script.textLost() != "":
		return "not_text"
	}
	return ""
}

// resume has another instance continue the stream that ended by err. It returns at
// once, and await waits for what becomes of it. False: the stream ends here.
func (b *body) resume(err error) bool {
	x := b.x
	broke := reasonOf(err)
	if why := b.mayResume(); why != "" {
		x.r.metrics.resumes.WithLabelValues(broke, why).Inc()
		return false
	}
	x.failures, x.refusals, x.resuming = 0, 0, true
	x.Query.Version, x.Query.Pinned = x.grant.Version, x.Query.Apart
	// those that refused or failed when the answer began may be well again
	x.Query.Exclude, x.Query.Avoid = x.Query.Exclude[:min(x.excluded, len(x.Query.Exclude))], nil
	x.Query.Exclude = append(x.Query.Exclude, x.left...)
	broken, again, others := x.grant.Target.Instance, x.again, x.others(err)
	if final := x.judge(err); final != nil {
		x.r.metrics.resumes.WithLabelValues(broke, "ended").Inc()
		return false
	}
	if (again || !x.again) && !others { // it is not to be tried a second time
		x.left = append(x.left, broken)
	}
	x.resumes++
	x.Query.Hasty, x.Query.Broke = false, time.Now()
	x.watch.movable.Store(false)
	if b.wrote.IsZero() {
		b.wrote = time.Now()
	}
	b.seam = seam{reason: broke, err: err, from: x.out.Node, end: x.r.span(x, "gateway.resume")}
	b.ready, b.waited, b.sent, b.pinging, b.pinged = make(chan struct{}), false, false, true, true
	b.held = 0
	go b.produce()
	return true
}

// A seam is where one instance's part of an answer ends and another's begins.
type seam struct {
	reason string
	err    error // by which the earlier part ended; nil: there is no seam
	from   spec.NodeID
	end    func(error) // of its span
}

// joined tells of the seam in a comment, once the answer goes on or will not.
func (b *body) joined() []byte {
	x, s := b.x, b.seam
	b.seam = seam{}
	gap := time.Since(b.wrote)
	defer func() { s.end(b.err) }()
	if b.err == nil && !x.streaming() {
		b.err = x.misfit()
	}
	if b.err != nil {
		x.r.metrics.resumes.WithLabelValues(s.reason, "failed").Inc()
		b.err = x.unresumed(s.err, b.err)
		return nil
	}
	x.r.metrics.resumes.WithLabelValues(s.reason, "resumed").Inc()
	x.r.metrics.gap.Observe(gap.Seconds())
	x.r.cfg.Log.Info("stream resumed", "request_id", x.Call.RequestID, "from", s.from, "to", x.out.Node,
		"attempt", x.out.Attempts, "reason", s.reason, "gap", gap)
	text := ": resumed"
	if x.Topology {
		text += " node=" + string(x.out.Node) + " attempts=" + strconv.Itoa(x.out.Attempts)
	}
	return []byte(text + " gap_ms=" + strconv.FormatInt(gap.Milliseconds(), 10) + "\n\n")
}

// unresumed is what the client is told of a stream that broke off by broke and
// could not be continued because of err.
func (x *Exchange) unresumed(broke, err error) error {
	var public *spec.Error
	var refusal *balance.Refusal
	why := "no other instance could continue it"
	switch {
	case x.late():
		return x.explain(errDeadline)
	case errors.Is(err, ErrGone), x.r.watcher.finalCause(&x.watch) != nil:
		return err
	case errors.Is(err, errStatus):
		why = x.misfit().Message
	case errors.As(err, &refusal):
		why = refusal.Err.Message
	case errors.Is(err, openai.ErrNoContinuation):
		why = err.Error()
	case errors.As(err, &public) && public.Code != spec.CodeStreamBroken:
		why = public.Message
	}
	return &spec.Error{Code: spec.CodeStreamBroken, Err: broke,
		Message: "The answer broke off: " + reasonText(broke) + "; and it could not be resumed: " + why}
}

// complete tells whether the client has all of the answer but for the end mark.
func (b *body) complete() bool {
	s := &b.x.script
	return s.finished(b.x.asking.choices) && (s.usage || !b.x.wanted) && b.x.follows() && !b.torn
}

// unfinished tells whether the engine's end mark comes before the end of its answer. Some
// engines give one choice whatever number is asked for; one that tells its tokens does not.
func (b *body) unfinished() bool {
	x, least := b.x, 1
	if x.grant.Able.Can&spec.AbleTokens != 0 {
		least = x.asking.choices
	}
	return x.follows() && !x.script.blind && !x.script.finished(least)
}

// cutShort passes on what came before an end mark that ends no answer; the stream breaks there.
func (b *body) cutShort(kept []byte) ([]byte, error) {
	if b.mayResume() != "" { // else it is judged with the attempt
		b.x.grant.Erred()
	}
	piece, err := b.shaped(kept[:openai.LastEvent(kept)])
	if err != nil {
		return b.fail(err)
	}
	b.broke = errUnfinished
	return piece, nil
}

// completed puts the end mark in the engine's place.
func (b *body) completed() ([]byte, error) {
	b.x.drop()
	b.over, b.ended = true, true
	if err := b.x.settle(nil); err != nil {
		return b.fail(err)
	}
	piece, err := b.shaped([]byte("data: [DONE]\n\n"))
	if err != nil {
		return b.fail(err)
	}
	return piece, nil
}

// rewritten is edited for an answer that goes on: its events get the answer's first
// id, the role is not told again, and its usage is that of the whole.
func (b *body) rewritten(events []byte) []byte {
	x := b.x
	b.edit = b.edit[:0]
	foul := b.foul(events)
	for at := 0; at < len(events); {
		n := openai.NextEvent(events[at:])
		if n == 0 {
			n = len(events) - at
		}
		event := events[at : at+n]
		at += n
		if foul && b.foul(event) {
			b.garbled = append(b.garbled[:0], event...)
			return b.edit
		}
		c := &b.chunk
		if !c.Scan(event) {
			if b.strange(event) {
				return b.edit
			}
			b.edit = append(b.edit, event...)
			continue
		}
		if rolesOnly(c) && x.script.role {
			continue
		}
		if x.script.note(event, c); !x.wanted && c.Choices == 0 && c.Usage.End > 0 {
			continue
		}
		from := len(b.edit)
		b.edit = x.appendEvent(b.edit, event, c)
		if x.shift > 0 && c.Usage.End > 0 && c.Scan(b.edit[from:]) {
			shifted := openai.ShiftUsage(nil, b.edit[from:], c.Usage, x.shift)
			b.edit = append(b.edit[:from], shifted...)
		}
	}
	return b.edit
}

// appendEvent appends one event as one of the answer that the client knows.
func (x *Exchange) appendEvent(dst, event []byte, c *openai.Chunk) []byte {
	type change struct {
		openai.Span
		by []byte
	}
	changes := [4]change{}
	list := changes[:0]
	put := func(s openai.Span, by []byte) {
		if s.End == 0 {
			return
		}
		at := len(list)
		list = append(list, change{s, by})
		for ; at > 0 && list[at-1].At > list[at].At; at-- {
			list[at-1], list[at] = list[at], list[at-1]
		}
	}
	if len(x.script.id) > 0 {
		put(c.ID, x.script.id)
	}
	if len(x.script.created) > 0 {
		put(c.Created, x.script.created)
	}
	if x.script.role && c.Choices == 1 {
		put(c.Role, nil)
	}
	if x.asking.tokens && c.Choices == 1 {
		put(c.Told, nil)
	}
	copied := 0
	for _, ch := range list {
		dst = append(append(dst, event[copied:ch.At]...), ch.by...)
		copied = ch.End
	}
	return append(dst, event[copied:]...)
}
