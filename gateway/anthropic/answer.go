package anthropic

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/lotabots/lotabots/gateway/chat"
)

// A Shape makes one answer of chat completions a Message, whole or in events. One
// goroutine at a time may use it.
type Shape struct {
	id      string
	model   string
	stops   []string
	show    bool // what the model thinks is told
	omit    bool // without its text
	reader  chat.Reader
	stream  stream
	tracked chat.Usage
}

// Shape returns what makes the answer to q a message of that id.
func (q *Request) Shape(id string) *Shape {
	return &Shape{id: id, model: q.model, stops: q.stops, show: q.show, omit: q.omit}
}

// ContentType is an answer's.
func (s *Shape) ContentType(stream bool) string {
	if stream {
		return "text/event-stream"
	}
	return "application/json"
}

// signature stands for the one that Anthropic's models give to what they have thought.
// Clients send it back with it; some leave a block without one out.
const signature = "lotabots"

// Whole appends the message that answer is.
func (s *Shape) Whole(dst, answer []byte) ([]byte, error) {
	r := &s.reader
	if err := r.Whole(answer); err != nil {
		return dst, err
	}
	dst = s.head(dst)
	first := true
	next := func() {
		if !first {
			dst = append(dst, ',')
		}
		first = false
	}
	if s.show && len(r.Reasoning) > 0 {
		next()
		dst = append(dst, `{"type":"thinking","thinking":"`...)
		if !s.omit {
			dst = chat.AppendText(dst, r.Reasoning)
		}
		dst = append(dst, `","signature":"`+signature+`"}`...)
	}
	for _, text := range [][]byte{r.Text, r.Refusal} {
		if len(text) > 0 {
			next()
			dst = chat.AppendString(append(dst, `{"type":"text","text":`...), text)
			dst = append(dst, '}')
		}
	}
	for i, c := range r.Calls {
		next()
		dst = append(dst, `{"type":"tool_use","id":`...)
		dst = s.appendCallID(dst, c.ID, i)
		dst = chat.AppendString(append(dst, `,"name":`...), c.Name)
		dst = append(appendInput(append(dst, `,"input":`...), c.Arguments), '}')
	}
	dst = append(dst, `],`...)
	dst = s.appendStop(dst, r.Finish, r.Stop, len(r.Calls) > 0)
	if r.Usage != nil {
		s.tracked = *r.Usage
	}
	dst = append(s.appendUsage(append(dst, `,"usage":`...)), '}')
	return dst, nil
}

// head begins a message, up to its content.
func (s *Shape) head(dst []byte) []byte {
	dst = chat.AppendString(append(dst, `{"id":`...), s.id)
	dst = chat.AppendString(append(dst, `,"type":"message","role":"assistant","model":`...), s.model)
	return append(dst, `,"content":[`...)
}

// appendCallID takes the engine's id of a call, or makes one.
func (s *Shape) appendCallID(dst, id []byte, n int) []byte {
	if len(id) == 0 {
		id = strconv.AppendInt([]byte("toolu_"+s.id+"_"), int64(n), 10)
	}
	return chat.AppendString(dst, id)
}

// appendInput appends a call's arguments, which have to be an object. A model that wrote
// something else is quoted, under the name that Anthropic's documentation has for that.
func appendInput(dst, arguments []byte) []byte {
	switch trimmed := bytes.TrimSpace(arguments); {
	case len(trimmed) == 0:
		return append(dst, "{}"...)
	case chat.Complete(trimmed):
		return append(dst, trimmed...)
	default:
		dst = chat.AppendString(append(dst, `{"INVALID_JSON":`...), arguments)
		return append(dst, '}')
	}
}

// appendStop appends why the answer ended, as two fields.
func (s *Shape) appendStop(dst, finish, stop []byte, called bool) []byte {
	reason := "end_turn"
	switch string(finish) {
	case "length":
		reason = "max_tokens"
	case "content_filter":
		reason = "refusal"
	case "tool_calls", "function_call":
		reason = "tool_use"
	default:
		if len(stop) > 0 && slices.Contains(s.stops, string(stop)) {
			dst = append(dst, `"stop_reason":"stop_sequence","stop_sequence":`...)
			return chat.AppendString(dst, stop)
		}
		if called {
			reason = "tool_use"
		}
	}
	return append(append(append(dst, `"stop_reason":"`...), reason...), `","stop_sequence":null`...)
}

// appendUsage appends what the request took: Anthropic counts tokens that were cached apart.
func (s *Shape) appendUsage(dst []byte) []byte {
	u := s.tracked
	dst = strconv.AppendInt(append(dst, `{"input_tokens":`...), int64(u.Prompt-u.Cached), 10)
	dst = strconv.AppendInt(append(dst, `,"cache_creation_input_tokens":0,"cache_read_input_tokens":`...), int64(u.Cached), 10)
	dst = strconv.AppendInt(append(dst, `,"output_tokens":`...), int64(u.Completion), 10)
	return append(dst, '}')
}

// AppendCount appends an answer of count_tokens.
func AppendCount(dst []byte, tokens int) []byte {
	return append(strconv.AppendInt(append(dst, `{"input_tokens":`...), int64(tokens), 10), "}\n"...)
}
