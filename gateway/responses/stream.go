package responses

import (
	"bytes"
	"errors"
	"strconv"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/chat"
)

// stream is how far a streamed answer is.
type stream struct {
	begun    bool // response.created is out
	ended    bool // the last event is out
	sequence int
	items    [][]byte // of the output, each at its place; nil: not whole yet
	open     part
	at       int    // the place of the item that is open: a message, or what the model thinks
	content  int    // the place of the part that is open
	said     []byte // the part's text so far, as JSON without the quotes
	logprobs []byte // of that text, as JSON without the brackets
	parts    []byte // the message's earlier parts
	calls    []call // that were begun
	finish   []byte
}

// A part is a kind of what an item holds.
type part uint8

const (
	none part = iota
	thought
	text
	refusal
)

// A call is the call of a function that was begun.
type call struct {
	index     int // the engine's
	at        int // in the output
	id, name  []byte
	arguments []byte
	whole     bool
}

var errLate = errors.New("the engine added to the call of a tool that it had ended")

// Events appends what the engine's events are to the client.
func (s *Shape) Events(dst, events []byte) ([]byte, error) {
	for {
		kind, rest, err := s.reader.Next(events)
		switch {
		case err != nil:
			return dst, err
		case kind == chat.Nothing:
			return dst, nil
		case kind == chat.Comment: // clients pass over it; people read it
			dst = append(append(dst, s.reader.Remark...), "\n\n"...)
		case kind == chat.Done && !s.stream.ended && len(s.stream.finish) == 0:
			return dst, chat.ErrUnfinished
		case kind == chat.Done:
			dst = s.end(s.begin(dst))
		case !s.stream.ended:
			if dst, err = s.piece(s.begin(dst)); err != nil {
				return dst, err
			}
		}
		events = rest
	}
}

// Ping appends what keeps a waiting stream alive.
func (s *Shape) Ping(dst []byte) []byte { return append(dst, ": ping\n\n"...) }

// Failed appends the last events of a stream that failed.
func (s *Shape) Failed(dst []byte, e *spec.Error, requestID string) []byte {
	e = Renamed(e)
	dst = chat.AppendString(append(s.event(dst, "error"), `,"code":`...), string(e.Code))
	dst = chat.AppendString(append(dst, `,"message":`...), e.Message)
	dst = append(dst, `,"param":`...)
	if e.Param == "" {
		dst = append(dst, "null"...)
	} else {
		dst = chat.AppendString(dst, e.Param)
	}
	dst = chat.AppendString(append(dst, `,"hint":`...), e.Advice())
	dst = chat.AppendString(append(dst, `,"request_id":`...), requestID)
	dst = append(dst, "}\n\n"...)
	var whole [][]byte
	for _, item := range s.stream.items {
		if item != nil {
			whole = append(whole, item)
		}
	}
	dst = append(s.event(dst, "response.failed"), `,"response":`...)
	s.stream.ended = true
	return append(s.response(dst, failed, "", whole, e), "}\n\n"...)
}

// event begins an event.
func (s *Shape) event(dst []byte, kind string) []byte {
	dst = append(append(dst, "event: "...), kind...)
	dst = append(append(dst, "\ndata: {\"type\":\""...), kind...)
	dst = strconv.AppendInt(append(dst, `","sequence_number":`...), int64(s.stream.sequence), 10)
	s.stream.sequence++
	return dst
}

func (s *Shape) begin(dst []byte) []byte {
	if s.stream.begun {
		return dst
	}
	s.stream.begun = true
	for _, kind := range []string{"response.created", "response.in_progress"} {
		dst = append(s.event(dst, kind), `,"response":`...)
		dst = append(s.response(dst, inProgress, "", nil, nil), "}\n\n"...)
	}
	return dst
}

// piece appends what one event of the engine says.
func (s *Shape) piece(dst []byte) ([]byte, error) {
	r := &s.reader
	s.count()
	if len(r.Reasoning) > 0 {
		dst = s.delta(s.enter(dst, thought), "response.reasoning_text.delta", r.Reasoning)
	}
	if len(r.Text) > 0 {
		dst = s.delta(s.enter(dst, text), "response.output_text.delta", r.Text)
	}
	if len(r.Refusal) > 0 {
		dst = s.delta(s.enter(dst, refusal), "response.refusal.delta", r.Refusal)
	}
	for i := range r.Calls {
		var err error
		if dst, err = s.callPiece(dst, &r.Calls[i]); err != nil {
			return dst, err
		}
	}
	if len(r.Finish) > 0 {
		s.stream.finish = append(s.stream.finish[:0], r.Finish...)
		dst = s.close(dst)
	}
	return dst, nil
}

// where appends which item and part an event is about.
func (s *Shape) where(dst []byte, prefix string, at, content int) []byte {
	dst = s.itemID(append(dst, `,"item_id":`...), prefix, at)
	dst = strconv.AppendInt(append(dst, `,"output_index":`...), int64(at), 10)
	if content >= 0 {
		dst = strconv.AppendInt(append(dst, `,"content_index":`...), int64(content), 10)
	}
	return dst
}

// here is where, of the part that is open.
func (s *Shape) here(dst []byte) []byte {
	prefix := messageID
	if s.stream.open == thought {
		prefix = thoughtID
	}
	return s.where(dst, prefix, s.stream.at, s.stream.content)
}

// enter begins a part of that kind, and an item for it, unless one is open.
func (s *Shape) enter(dst []byte, kind part) []byte {
	t := &s.stream
	if t.open == kind {
		return dst
	}
	if t.open != none && t.open != thought && kind != thought { // another part of the message
		dst = s.endPart(dst)
		t.content++
	} else {
		dst = s.endItem(dst, completed)
		t.at, t.content = len(t.items), 0
		t.items = append(t.items, nil)
		dst = s.added(dst, t.at)
		if kind == thought {
			dst = s.thoughtItem(dst, t.at, inProgress, nil)
		} else {
			dst = s.messageItem(dst, t.at, inProgress, nil)
		}
		dst = append(dst, "}\n\n"...)
	}
	t.open = kind
	dst = append(s.here(s.event(dst, "response.content_part.added")), `,"part":`...)
	return append(s.part(dst), "}\n\n"...)
}

// part appends the part that is open, as far as it is.
func (s *Shape) part(dst []byte) []byte {
	t := &s.stream
	var p []byte // nothing stands before it
	switch t.open {
	case thought:
		p = thoughtPart(nil, t.said)
	case refusal:
		p = refusalPart(nil, t.said)
	default:
		p = textPart(nil, t.said, t.logprobs)
	}
	return append(dst, p...)
}

func (s *Shape) delta(dst []byte, kind string, said []byte) []byte {
	t := &s.stream
	dst = append(s.here(s.event(dst, kind)), `,"delta":"`...)
	was := len(dst)
	dst = chat.AppendText(dst, said)
	t.said = append(t.said, dst[was:]...)
	dst = append(dst, '"')
	if t.open == text {
		dst = append(dst, `,"logprobs":[`...)
		was = len(dst)
		if s.reader.Logprobs != nil && s.logprobs {
			list := chat.AppendValue(nil, s.reader.Logprobs)
			dst = append(dst, list[1:len(list)-1]...)
		}
		if len(dst) > was {
			if len(t.logprobs) > 0 {
				t.logprobs = append(t.logprobs, ',')
			}
			t.logprobs = append(t.logprobs, dst[was:]...)
		}
		dst = append(dst, ']')
	}
	return append(dst, "}\n\n"...)
}

// endPart ends the part that is open.
func (s *Shape) endPart(dst []byte) []byte {
	t := &s.stream
	kind, field := "response.output_text.done", "text"
	switch t.open {
	case thought:
		kind = "response.reasoning_text.done"
	case refusal:
		kind, field = "response.refusal.done", "refusal"
	}
	dst = append(append(s.here(s.event(dst, kind)), `,"`...), field...)
	dst = append(append(append(dst, `":"`...), t.said...), '"')
	if t.open == text {
		dst = append(append(append(dst, `,"logprobs":[`...), t.logprobs...), ']')
	}
	dst = append(dst, "}\n\n"...)
	dst = append(s.here(s.event(dst, "response.content_part.done")), `,"part":`...)
	dst = append(s.part(dst), "}\n\n"...)
	switch t.open {
	case text:
		t.parts = textPart(t.parts, t.said, t.logprobs)
	case refusal:
		t.parts = refusalPart(t.parts, t.said)
	}
	if t.open != thought {
		t.said = t.said[:0]
	}
	t.logprobs = t.logprobs[:0]
	return dst
}

// endItem ends the item that is open: a message, or what the model thinks.
func (s *Shape) endItem(dst []byte, status string) []byte {
	t := &s.stream
	if t.open == none {
		return dst
	}
	dst = s.endPart(dst)
	if t.open == thought {
		t.items[t.at] = s.thoughtItem(nil, t.at, status, t.said)
	} else {
		t.items[t.at] = s.messageItem(nil, t.at, status, t.parts)
	}
	t.said, t.parts, t.open = t.said[:0], t.parts[:0], none
	return s.done(dst, t.at)
}

func (s *Shape) added(dst []byte, at int) []byte {
	dst = append(s.event(dst, "response.output_item.added"), `,"output_index":`...)
	return append(strconv.AppendInt(dst, int64(at), 10), `,"item":`...)
}

func (s *Shape) done(dst []byte, at int) []byte {
	dst = append(s.event(dst, "response.output_item.done"), `,"output_index":`...)
	dst = append(strconv.AppendInt(dst, int64(at), 10), `,"item":`...)
	return append(append(dst, s.stream.items[at]...), "}\n\n"...)
}

// callPiece appends a piece of a call.
func (s *Shape) callPiece(dst []byte, c *chat.Call) ([]byte, error) {
	t := &s.stream
	var open *call
	for i := range t.calls {
		if t.calls[i].index == c.Index {
			open = &t.calls[i]
		}
	}
	switch {
	case open == nil:
		dst = s.endItem(dst, completed)
		for i := range t.calls { // the next one begins: those before are whole, if they look so
			if chat.Complete(t.calls[i].arguments) {
				dst = s.endCall(dst, &t.calls[i], completed)
			}
		}
		t.calls = append(t.calls, call{index: c.Index, at: len(t.items), id: bytes.Clone(c.ID), name: bytes.Clone(c.Name)})
		open = &t.calls[len(t.calls)-1]
		t.items = append(t.items, nil)
		dst = s.callItem(s.added(dst, open.at), open.at, inProgress, open.id, open.name, nil)
		dst = append(dst, "}\n\n"...)
	case open.whole && len(bytes.TrimSpace(c.Arguments)) > 0:
		return dst, errLate
	case open.whole:
		return dst, nil
	}
	if len(open.name) == 0 {
		open.name = append(open.name, c.Name...)
	}
	if len(c.Arguments) == 0 {
		return dst, nil
	}
	open.arguments = append(open.arguments, c.Arguments...)
	dst = append(s.where(s.event(dst, "response.function_call_arguments.delta"), callID, open.at, -1), `,"delta":`...)
	return append(chat.AppendString(dst, c.Arguments), "}\n\n"...), nil
}

func (s *Shape) endCall(dst []byte, c *call, status string) []byte {
	if c.whole {
		return dst
	}
	c.whole = true
	dst = append(s.where(s.event(dst, "response.function_call_arguments.done"), callID, c.at, -1), `,"name":`...)
	dst = append(chat.AppendString(dst, c.name), `,"arguments":`...)
	dst = append(chat.AppendString(dst, c.arguments), "}\n\n"...)
	s.stream.items[c.at] = s.callItem(nil, c.at, status, c.id, c.name, chat.AppendText(nil, c.arguments))
	return s.done(dst, c.at)
}

// close ends what is open, when it is known why the answer ended.
func (s *Shape) close(dst []byte) []byte {
	status, _ := statusOf(s.stream.finish)
	dst = s.endItem(dst, status)
	for i := range s.stream.calls {
		c, is := &s.stream.calls[i], completed
		if status == incomplete && !chat.Complete(c.arguments) {
			is = incomplete
		}
		dst = s.endCall(dst, c, is)
	}
	return dst
}

// end appends the last event, once.
func (s *Shape) end(dst []byte) []byte {
	t := &s.stream
	if t.ended {
		return dst
	}
	dst = s.close(dst)
	t.ended = true
	status, reason := statusOf(t.finish)
	dst = append(s.event(dst, "response."+status), `,"response":`...)
	return append(s.response(dst, status, reason, t.items, nil), "}\n\n"...)
}
