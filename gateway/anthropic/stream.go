package anthropic

import (
	"bytes"
	"errors"
	"strconv"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/chat"
)

// stream is how far a streamed answer is.
type stream struct {
	begun   bool // message_start is out
	ended   bool // message_stop is out
	open    block
	blocks  int // that were begun
	called  bool
	finish  []byte
	stop    []byte
	call    int    // the engine's index of the call whose block is open
	input   []byte // its arguments so far
	waiting []waiting
	past    []int // indices of calls whose blocks have ended
	hidden  int   // events that told the client nothing
}

// A block is a kind of content block.
type block uint8

const (
	none block = iota
	text
	thought
	tool
)

// waiting is a call that came while another was not whole: blocks follow one another.
type waiting struct {
	index           int
	id, name, input []byte
}

// pingEvery is how many events of an engine that tell the client nothing make a ping.
const pingEvery = 64

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
			dst = s.finish(dst)
		case !s.stream.ended:
			if dst, err = s.piece(s.begin(dst)); err != nil {
				return dst, err
			}
		}
		events = rest
	}
}

// Ping appends what keeps a waiting stream alive.
func (s *Shape) Ping(dst []byte) []byte {
	return append(dst, "event: ping\ndata: {\"type\":\"ping\"}\n\n"...)
}

// Failed appends the event that ends a stream which failed.
func (s *Shape) Failed(dst []byte, e *spec.Error, requestID string) []byte {
	dst = append(dst, "event: error\ndata: "...)
	return append(AppendError(dst, Renamed(e), requestID, nil), "\n\n"...)
}

func (s *Shape) begin(dst []byte) []byte {
	if s.stream.begun {
		return dst
	}
	s.stream.begun = true
	dst = s.head(append(dst, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":"...))
	dst = append(dst, `],"stop_reason":null,"stop_sequence":null,"usage":`...)
	return append(s.appendUsage(dst), "}}\n\n"...)
}

// piece appends what one event of the engine says.
func (s *Shape) piece(dst []byte) ([]byte, error) {
	r, t := &s.reader, &s.stream
	was := len(dst)
	if len(r.Reasoning) > 0 && s.show {
		dst = s.enter(dst, thought)
		if !s.omit {
			dst = s.delta(dst, `thinking_delta","thinking":`, r.Reasoning)
		}
	}
	for _, said := range [][]byte{r.Text, r.Refusal} {
		if len(said) > 0 {
			dst = s.delta(s.enter(dst, text), `text_delta","text":`, said)
		}
	}
	for i := range r.Calls {
		var err error
		if dst, err = s.callPiece(dst, &r.Calls[i]); err != nil {
			return dst, err
		}
	}
	if len(r.Finish) > 0 {
		t.finish, t.stop = append(t.finish[:0], r.Finish...), append(t.stop[:0], r.Stop...)
		dst = s.leave(dst)
	}
	if r.Usage != nil {
		s.tracked = *r.Usage
	}
	if len(dst) == was {
		if t.hidden++; t.hidden%pingEvery == 0 {
			dst = s.Ping(dst)
		}
	}
	return dst, nil
}

// enter begins a block of that kind, unless one is open.
func (s *Shape) enter(dst []byte, kind block) []byte {
	if s.stream.open == kind {
		return dst
	}
	dst = s.start(s.leave(dst), kind)
	if kind == text {
		return append(dst, "{\"type\":\"text\",\"text\":\"\"}}\n\n"...)
	}
	return append(dst, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n"...)
}

func (s *Shape) start(dst []byte, kind block) []byte {
	s.stream.open = kind
	s.stream.blocks++
	dst = append(dst, "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":"...)
	return append(strconv.AppendInt(dst, int64(s.stream.blocks-1), 10), `,"content_block":`...)
}

func (s *Shape) delta(dst []byte, kind string, said []byte) []byte {
	dst = append(dst, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":"...)
	dst = strconv.AppendInt(dst, int64(s.stream.blocks-1), 10)
	dst = append(append(dst, `,"delta":{"type":"`...), kind...)
	return append(chat.AppendString(dst, said), "}}\n\n"...)
}

// leave ends the block that is open, and what waits for its end.
func (s *Shape) leave(dst []byte) []byte {
	dst = s.close(dst)
	for _, w := range s.stream.waiting {
		dst = s.startCall(dst, w.index, w.id, w.name)
		dst = s.close(s.arguments(dst, w.input))
	}
	s.stream.waiting = s.stream.waiting[:0]
	return dst
}

func (s *Shape) close(dst []byte) []byte {
	t := &s.stream
	switch t.open {
	case none:
		return dst
	case thought:
		dst = s.delta(dst, `signature_delta","signature":`, []byte(signature))
	case tool:
		t.past, t.input = append(t.past, t.call), t.input[:0]
	}
	t.open = none
	dst = append(dst, "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":"...)
	return append(strconv.AppendInt(dst, int64(t.blocks-1), 10), "}\n\n"...)
}

// finish ends the message: the engine has said its last word.
func (s *Shape) finish(dst []byte) []byte {
	t := &s.stream
	if t.ended {
		return dst
	}
	t.ended = true
	dst = s.leave(s.begin(dst))
	dst = append(dst, "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{"...)
	dst = s.appendStop(dst, t.finish, t.stop, t.called)
	dst = s.appendUsage(append(dst, `},"usage":`...))
	return append(dst, "}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"...)
}

// callPiece appends a piece of a call. Blocks follow one another, so that a call which
// begins before the one that is open is whole has to wait; engines do not do that.
func (s *Shape) callPiece(dst []byte, c *chat.Call) ([]byte, error) {
	t := &s.stream
	for i := range t.waiting {
		if w := &t.waiting[i]; w.index == c.Index {
			w.take(c)
			return dst, nil
		}
	}
	for _, index := range t.past {
		if index == c.Index {
			if len(bytes.TrimSpace(c.Arguments)) > 0 {
				return dst, errLate
			}
			return dst, nil
		}
	}
	switch {
	case t.open == tool && t.call == c.Index:
		return s.arguments(dst, c.Arguments), nil
	case len(c.Name) == 0, t.open == tool && (len(t.waiting) > 0 || !chat.Complete(t.input)):
		w := waiting{index: c.Index}
		w.take(c)
		t.waiting = append(t.waiting, w)
		return dst, nil
	}
	dst = s.startCall(s.leave(dst), c.Index, c.ID, c.Name)
	return s.arguments(dst, c.Arguments), nil
}

func (w *waiting) take(c *chat.Call) {
	w.id, w.name, w.input = append(w.id, c.ID...), append(w.name, c.Name...), append(w.input, c.Arguments...)
}

func (s *Shape) startCall(dst []byte, index int, id, name []byte) []byte {
	s.stream.call, s.stream.called = index, true
	dst = append(s.start(dst, tool), `{"type":"tool_use","id":`...)
	dst = s.appendCallID(dst, id, s.stream.blocks-1)
	dst = chat.AppendString(append(dst, `,"name":`...), name)
	return append(dst, ",\"input\":{}}}\n\n"...)
}

func (s *Shape) arguments(dst, piece []byte) []byte {
	if len(piece) == 0 {
		return dst
	}
	s.stream.input = append(s.stream.input, piece...)
	return s.delta(dst, `input_json_delta","partial_json":`, piece)
}
