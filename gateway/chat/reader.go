package chat

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/valyala/fastjson"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A Piece is what one event says of an answer, or all that a whole one says: of the first
// choice, which is the only one that the APIs here can tell. Its bytes are valid until
// the Reader's next call.
type Piece struct {
	Text      []byte
	Reasoning []byte
	Refusal   []byte
	Calls     []Call
	Finish    []byte          // why it ended; empty: it has not
	Stop      []byte          // the stop string that ended it, where the engine tells
	Logprobs  *fastjson.Value // an array, one for each token of Text; nil: none
	Usage     *Usage
}

// A Call is a call of a tool, or a piece of one: then ID and Name come in the first.
type Call struct {
	Index     int
	ID        []byte
	Name      []byte
	Arguments []byte // JSON, or a piece of it
}

// A Usage counts tokens.
type Usage struct {
	Prompt, Cached        int // Cached are among Prompt
	Completion, Reasoning int // Reasoning are among Completion
}

// A Kind is what Next has found.
type Kind uint8

// The kinds.
const (
	Nothing Kind = iota // no event is left
	More                // the Reader's Piece
	Done                // the end of the answer
	Comment             // the Reader's Remark
)

// A Reader reads an answer.
type Reader struct {
	Piece
	Remark []byte // a comment's line

	parser fastjson.Parser
	usage  Usage
	joined []byte
	said   bool // the choice has a message, or a piece of one
}

// ErrUnfinished says that an answer has no choice with a message and why that ended.
var ErrUnfinished = errors.New("it has no finished message")

// Whole reads an answer that is not streamed.
func (r *Reader) Whole(answer []byte) error {
	if err := r.read(answer, "message"); err != nil {
		return err
	}
	if !r.said || len(r.Finish) == 0 {
		return ErrUnfinished
	}
	return nil
}

// Next reads the first of events, each of which ends with an empty line, and returns the
// rest. An engine's own error is a *spec.Error.
func (r *Reader) Next(events []byte) (Kind, []byte, error) {
	for len(events) > 0 {
		var data []byte
		data, events = r.event(events)
		switch {
		case len(data) == 0 && len(r.Remark) > 0:
			return Comment, events, nil
		case len(data) == 0: // fields that say nothing
		case string(data) == "[DONE]":
			return Done, events, nil
		default:
			return More, events, r.read(data, "delta")
		}
	}
	return Nothing, nil, nil
}

// event takes one event off and returns its data.
func (r *Reader) event(events []byte) (data, rest []byte) {
	r.Remark = nil
	for len(events) > 0 {
		line := events
		if i := bytes.IndexByte(events, '\n'); i >= 0 {
			line, events = events[:i], events[i+1:]
		} else {
			events = nil
		}
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			break
		}
		if line[0] == ':' {
			r.Remark = line
		}
		value, ok := bytes.CutPrefix(line, []byte("data:"))
		if !ok {
			continue
		}
		value = bytes.TrimPrefix(value, []byte(" "))
		if data == nil {
			data = value
			continue
		}
		r.joined = append(append(append(r.joined[:0], data...), '\n'), value...)
		data = r.joined
	}
	return bytes.TrimSpace(data), events
}

// read fills the Piece from a chunk, or from an answer, whose choices have the key inside.
func (r *Reader) read(b []byte, inside string) error {
	r.Piece, r.said = Piece{Calls: r.Calls[:0]}, false
	v, err := r.parser.ParseBytes(b)
	if err != nil {
		return fmt.Errorf("what the engine sent is no JSON: %w", err)
	}
	if v.Type() != fastjson.TypeObject {
		return fmt.Errorf("what the engine sent is no JSON object")
	}
	if e := v.Get("error"); e != nil && e.Type() != fastjson.TypeNull {
		return engineError(e)
	}
	if u := v.Get("usage"); u != nil && u.Type() == fastjson.TypeObject {
		r.usage = Usage{Prompt: count(u, "prompt_tokens"), Completion: count(u, "completion_tokens"),
			Cached: count(u, "prompt_tokens_details", "cached_tokens"), Reasoning: count(u, "completion_tokens_details", "reasoning_tokens")}
		r.usage.Cached = min(r.usage.Cached, r.usage.Prompt)
		r.Usage = &r.usage
	}
	for _, choice := range v.GetArray("choices") {
		if choice.GetInt("index") == 0 {
			r.choice(choice, inside)
			break
		}
	}
	return nil
}

func (r *Reader) choice(choice *fastjson.Value, inside string) {
	r.Finish = choice.GetStringBytes("finish_reason")
	if r.Stop = choice.GetStringBytes("stop_reason"); r.Stop == nil { // vLLM's name
		r.Stop = choice.GetStringBytes("matched_stop") // SGLang's
	}
	if list := choice.Get("logprobs", "content"); list != nil && list.Type() == fastjson.TypeArray {
		r.Logprobs = list
	}
	said := choice.Get(inside)
	if said == nil || said.Type() != fastjson.TypeObject {
		return
	}
	r.said = true
	r.Text, r.Refusal = said.GetStringBytes("content"), said.GetStringBytes("refusal")
	if r.Reasoning = said.GetStringBytes("reasoning_content"); r.Reasoning == nil {
		r.Reasoning = said.GetStringBytes("reasoning")
	}
	for i, c := range said.GetArray("tool_calls") {
		call := Call{Index: i, ID: c.GetStringBytes("id"), Name: c.GetStringBytes("function", "name")}
		if at := c.Get("index"); at != nil && at.Type() == fastjson.TypeNumber {
			call.Index = at.GetInt()
		}
		if a := c.Get("function", "arguments"); a != nil && a.Type() == fastjson.TypeObject {
			call.Arguments = AppendValue(nil, a)
		} else {
			call.Arguments = a.GetStringBytes()
		}
		r.Calls = append(r.Calls, call)
	}
}

func count(v *fastjson.Value, keys ...string) int { return max(0, v.GetInt(keys...)) }

// engineError is an error that the engine tells in the middle of a stream.
func engineError(e *fastjson.Value) error {
	text := e.GetStringBytes("message")
	if text == nil {
		text = e.GetStringBytes()
	}
	if len(text) > 300 {
		text = append(text[:300:300], "..."...)
	}
	return &spec.Error{Code: spec.CodeUpstream, Message: "The engine ended the stream with an error: " + string(bytes.ToValidUTF8(text, []byte("?")))}
}

// Complete tells whether arguments are a whole JSON value, to which nothing can be added.
func Complete(arguments []byte) bool {
	trimmed := bytes.TrimSpace(arguments)
	return len(trimmed) > 0 && trimmed[0] == '{' && fastjson.ValidateBytes(trimmed) == nil
}
