package responses

import (
	"strconv"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/chat"
)

// A Shape makes one answer of chat completions a response, whole or in events. One
// goroutine at a time may use it.
type Shape struct {
	id       string // without its prefix
	created  int64
	model    string
	echo     []byte
	logprobs bool
	reader   chat.Reader
	usage    *chat.Usage
	counted  chat.Usage
	stream   stream
}

// Shape returns what makes the answer to q a response of that id, which goes behind the
// prefixes of this API, created at that Unix time.
func (q *Request) Shape(id string, created int64) *Shape {
	return &Shape{id: id, created: created, model: q.model, echo: q.echo, logprobs: q.logprobs}
}

// ContentType is an answer's.
func (s *Shape) ContentType(stream bool) string {
	if stream {
		return "text/event-stream"
	}
	return "application/json"
}

// The statuses of a response and its items.
const (
	completed  = "completed"
	incomplete = "incomplete"
	inProgress = "in_progress"
	failed     = "failed"
)

// statusOf is what a chat's finish_reason means here, and why a response is incomplete.
func statusOf(finish []byte) (status, reason string) {
	switch string(finish) {
	case "length":
		return incomplete, "max_output_tokens"
	case "content_filter":
		return incomplete, "content_filter"
	}
	return completed, ""
}

// Whole appends the response that answer is.
func (s *Shape) Whole(dst, answer []byte) ([]byte, error) {
	r := &s.reader
	if err := r.Whole(answer); err != nil {
		return dst, err
	}
	s.count()
	status, reason := statusOf(r.Finish)
	var items [][]byte
	if len(r.Reasoning) > 0 {
		items = append(items, s.thoughtItem(nil, len(items), completed, chat.AppendText(nil, r.Reasoning)))
	}
	var parts []byte
	if len(r.Text) > 0 || (len(r.Calls) == 0 && len(r.Refusal) == 0) {
		var logprobs []byte
		if r.Logprobs != nil {
			list := chat.AppendValue(nil, r.Logprobs)
			logprobs = list[1 : len(list)-1]
		}
		parts = textPart(parts, chat.AppendText(nil, r.Text), logprobs)
	}
	if len(r.Refusal) > 0 {
		parts = refusalPart(parts, chat.AppendText(nil, r.Refusal))
	}
	if len(parts) > 0 {
		items = append(items, s.messageItem(nil, len(items), status, parts))
	}
	for _, c := range r.Calls {
		items = append(items, s.callItem(nil, len(items), completed, c.ID, c.Name, chat.AppendText(nil, c.Arguments)))
	}
	return s.response(dst, status, reason, items, nil), nil
}

// count takes over what the engine says that the request took.
func (s *Shape) count() {
	if s.reader.Usage != nil {
		s.counted = *s.reader.Usage
		s.usage = &s.counted
	}
}

// response appends the response with items; e is why it failed.
func (s *Shape) response(dst []byte, status, reason string, items [][]byte, e *spec.Error) []byte {
	dst = chat.AppendString(append(dst, `{"id":`...), "resp_"+s.id)
	dst = strconv.AppendInt(append(dst, `,"object":"response","created_at":`...), s.created, 10)
	dst = append(append(append(dst, `,"status":"`...), status...), `","error":`...)
	if e == nil {
		dst = append(dst, "null"...)
	} else {
		dst = append(append(append(dst, `{"code":"`...), codeOf(e)...), `","message":`...)
		dst = append(chat.AppendString(dst, e.Message), '}')
	}
	dst = append(dst, `,"incomplete_details":`...)
	if reason == "" {
		dst = append(dst, "null,"...)
	} else {
		dst = append(append(append(dst, `{"reason":"`...), reason...), `"},`...)
	}
	dst = append(dst, s.echo...)
	dst = chat.AppendString(append(dst, `"model":`...), s.model)
	dst = append(dst, `,"output":[`...)
	for i, item := range items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, item...)
	}
	return append(s.appendUsage(append(dst, `],"usage":`...)), '}')
}

// AppendCount appends an answer of input_tokens.
func AppendCount(dst []byte, tokens int) []byte {
	return append(strconv.AppendInt(append(dst, `{"object":"response.input_tokens","input_tokens":`...), int64(tokens), 10), "}\n"...)
}

// codeOf is the one of this API's codes of failed responses that fits.
func codeOf(e *spec.Error) string {
	switch status := e.Code.Lookup().Status; {
	case status == 429:
		return "rate_limit_exceeded"
	case status < 500:
		return "invalid_prompt"
	}
	return "server_error"
}

func (s *Shape) appendUsage(dst []byte) []byte {
	u := s.usage
	if u == nil {
		return append(dst, "null"...)
	}
	dst = strconv.AppendInt(append(dst, `{"input_tokens":`...), int64(u.Prompt), 10)
	dst = strconv.AppendInt(append(dst, `,"input_tokens_details":{"cached_tokens":`...), int64(u.Cached), 10)
	dst = strconv.AppendInt(append(dst, `,"cache_write_tokens":0},"output_tokens":`...), int64(u.Completion), 10)
	dst = strconv.AppendInt(append(dst, `,"output_tokens_details":{"reasoning_tokens":`...), int64(u.Reasoning), 10)
	dst = strconv.AppendInt(append(dst, `},"total_tokens":`...), int64(u.Prompt+u.Completion), 10)
	return append(dst, '}')
}

// itemID appends the id of the item at that place of the output, as a JSON string.
func (s *Shape) itemID(dst []byte, prefix string, at int) []byte {
	dst = append(append(dst, '"'), prefix...)
	dst = append(chat.AppendText(dst, s.id), '_')
	return append(strconv.AppendInt(dst, int64(at), 10), '"')
}

func (s *Shape) itemHead(dst []byte, prefix string, at int, kind, status string) []byte {
	dst = s.itemID(append(dst, `{"id":`...), prefix, at)
	dst = append(append(dst, `,"type":"`...), kind...)
	return append(append(append(dst, `","status":"`...), status...), '"')
}

// The ids of items begin with these.
const (
	messageID = "msg_"
	thoughtID = "rs_"
	callID    = "fc_"
)

// messageItem appends a message; parts are its content, as JSON without the brackets.
func (s *Shape) messageItem(dst []byte, at int, status string, parts []byte) []byte {
	dst = s.itemHead(dst, messageID, at, "message", status)
	dst = append(append(dst, `,"role":"assistant","content":[`...), parts...)
	return append(dst, "]}"...)
}

// thoughtItem appends what the model has thought; text is JSON without the quotes, and nil: none yet.
func (s *Shape) thoughtItem(dst []byte, at int, status string, text []byte) []byte {
	dst = append(s.itemHead(dst, thoughtID, at, "reasoning", status), `,"summary":[],"content":[`...)
	if text != nil {
		dst = thoughtPart(dst, text)
	}
	return append(dst, "]}"...)
}

// callItem appends the call of a function; arguments are JSON text, without the quotes.
func (s *Shape) callItem(dst []byte, at int, status string, id, name, arguments []byte) []byte {
	dst = append(s.itemHead(dst, callID, at, "function_call", status), `,"call_id":`...)
	if len(id) > 0 {
		dst = chat.AppendString(dst, id)
	} else {
		dst = s.itemID(dst, "call_", at)
	}
	dst = chat.AppendString(append(dst, `,"name":`...), name)
	dst = append(append(dst, `,"arguments":"`...), arguments...)
	return append(dst, `"}`...)
}

// textPart appends a part behind others; text is JSON without the quotes, and logprobs
// without the brackets.
func textPart(dst, text, logprobs []byte) []byte {
	if len(dst) > 0 {
		dst = append(dst, ',')
	}
	dst = append(append(dst, `{"type":"output_text","annotations":[],"logprobs":[`...), logprobs...)
	dst = append(append(dst, `],"text":"`...), text...)
	return append(dst, `"}`...)
}

func refusalPart(dst, text []byte) []byte {
	if len(dst) > 0 {
		dst = append(dst, ',')
	}
	return append(append(append(dst, `{"type":"refusal","refusal":"`...), text...), `"}`...)
}

func thoughtPart(dst, text []byte) []byte {
	return append(append(append(dst, `{"type":"reasoning_text","text":"`...), text...), `"}`...)
}
