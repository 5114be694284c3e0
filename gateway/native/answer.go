package native

import (
	"bytes"
	"errors"

	"github.com/valyala/fastjson"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/openai"
)

// An API is one that some engines speak themselves.
type API uint8

// The APIs.
const (
	Messages API = iota
	Responses
)

// A Teller is what tells a client of that API of a stream that failed, or waits.
type Teller interface {
	ContentType(stream bool) string
	Failed(dst []byte, e *spec.Error, requestID string) []byte
	Ping(dst []byte) []byte
}

// An Answer is one that passes as it comes. One goroutine at a time may use it.
type Answer struct {
	Teller
	api    API
	parser fastjson.Parser
	usage  openai.Usage
	told   bool // how many tokens the answer has, in the end
	pieces int  // of text that passed
	follow func(events int)
	events int // that passed
}

// New returns what reads an answer of that API. follow, if not nil, is told before Failed
// is asked how many events of the engine's have passed.
func New(api API, t Teller, follow func(events int)) *Answer {
	return &Answer{Teller: t, api: api, follow: follow}
}

// Errors of answers.
var (
	errObject = errors.New("it is no answer of the API that was asked")
	errEvent  = errors.New("an event is no JSON object with a type")
)

// Whole takes note of a whole answer and appends it as it is.
func (a *Answer) Whole(dst, answer []byte) ([]byte, error) {
	v, err := a.parser.ParseBytes(answer)
	if err != nil {
		return dst, err
	}
	if a.api == Messages && string(v.GetStringBytes("type")) != "message" || a.api == Responses && string(v.GetStringBytes("object")) != "response" {
		return dst, errObject
	}
	a.told = a.count(v.Get("usage"))
	return append(dst, answer...), nil
}

// Events appends whole events as they are, but for the end mark of chat completions, which
// vLLM adds and these APIs do not have.
func (a *Answer) Events(dst, events []byte) ([]byte, error) {
	err := each(events, func(event []byte) error {
		switch kind, data := split(event); {
		case string(data) == "[DONE]":
			return nil
		case len(data) > 0 && (data[0] != '{' || kind == nil && !bytes.Contains(data, typeField)):
			return errEvent
		case len(data) > 0:
			a.events++
		}
		dst = append(dst, event...)
		return nil
	})
	return dst, err
}

// Failed tells of a failure behind the events that have passed.
func (a *Answer) Failed(dst []byte, e *spec.Error, requestID string) []byte {
	if a.follow != nil {
		a.follow(a.events)
	}
	return a.Teller.Failed(dst, e, requestID)
}

// Ending is how far whole events go up to and with the one that ends their stream, and how
// that does. It takes note of what they tell.
func (a *Answer) Ending(events []byte) (n int, done, failed bool) {
	_ = each(events, func(event []byte) error {
		n += len(event)
		if done, failed = a.note(event); done || failed {
			return errEvent
		}
		return nil
	})
	return n, done, failed
}

// Usage is what the answer took. False: it has not told, and what is told is the prompt's
// tokens, if the engine told of them, and how many pieces have passed.
func (a *Answer) Usage() (openai.Usage, bool) {
	u := a.usage
	if !a.told {
		u.Completion = max(u.Completion, a.pieces)
	}
	return u, a.told
}

// Error is the engine's, of the event that ended its stream.
func (a *Answer) Error(event []byte) *spec.Error {
	_, data := split(event)
	if v, err := a.parser.ParseBytes(data); err == nil && v.Exists("response", "error") {
		return openai.StreamError(append([]byte("data: "), v.Get("response").MarshalTo(nil)...))
	}
	return openai.StreamError(data)
}

// Ends tells whether a stream ends by the event, and how.
func (a *Answer) Ends(event []byte) (done, failed bool) {
	if v := a.read(event); v != nil {
		return ends(v)
	}
	return false, false
}

// read parses an event that says something of the whole answer; nil: it is none.
func (a *Answer) read(event []byte) *fastjson.Value {
	kind, data := split(event)
	if len(data) == 0 || data[0] != '{' || !telling(kind) {
		return nil
	}
	v, err := a.parser.ParseBytes(data)
	if err != nil {
		return nil
	}
	return v
}

func ends(v *fastjson.Value) (done, failed bool) {
	switch string(v.GetStringBytes("type")) {
	case "message_stop", "response.completed", "response.incomplete":
		return true, false
	case "error", "response.failed", "response.cancelled":
		return false, true
	case "":
		e := v.Get("error")
		return false, e != nil && e.Type() != fastjson.TypeNull
	}
	return false, false
}

// note takes note of one event.
func (a *Answer) note(event []byte) (done, failed bool) {
	v := a.read(event)
	if v == nil {
		if kind, _ := split(event); kind != nil {
			a.pieces++
		}
		return false, false
	}
	switch string(v.GetStringBytes("type")) {
	case "message_start":
		a.count(v.Get("message", "usage"))
		a.usage.Completion = 0 // so far
	case "message_delta":
		a.told = a.count(v.Get("usage")) || a.told
	case "response.completed", "response.incomplete", "response.failed":
		a.told = a.count(v.Get("response", "usage")) || a.told
	case "content_block_delta", "response.output_text.delta":
		a.pieces++
	}
	return ends(v)
}

// telling tells whether an event of that name says something of the whole answer. What
// has no name may.
func telling(kind []byte) bool {
	switch string(kind) {
	case "content_block_delta", "response.output_text.delta", "response.reasoning_text.delta", "response.function_call_arguments.delta":
		return false
	}
	return true
}

// count reads a usage. Messages count what was read from a cache, or put there, apart.
func (a *Answer) count(u *fastjson.Value) bool {
	if u == nil || u.Type() != fastjson.TypeObject {
		return false
	}
	number := func(keys ...string) int { return max(0, u.GetInt(keys...)) }
	if u.Exists("input_tokens") {
		a.usage.Prompt = number("input_tokens")
		if a.api == Messages {
			a.usage.Cached = number("cache_read_input_tokens")
			a.usage.Prompt += a.usage.Cached + number("cache_creation_input_tokens")
			a.usage.HasCached = u.Exists("cache_read_input_tokens")
		} else {
			a.usage.Cached = number("input_tokens_details", "cached_tokens")
			a.usage.HasCached = u.Exists("input_tokens_details", "cached_tokens")
		}
		a.usage.Cached = min(a.usage.Cached, a.usage.Prompt)
	}
	if u.Exists("output_tokens") {
		a.usage.Completion = number("output_tokens")
		return true
	}
	return false
}

var typeField = []byte(`"type"`)

// each calls f with each of whole events, until it returns an error.
func each(events []byte, f func(event []byte) error) error {
	for at := 0; at < len(events); {
		n := openai.NextEvent(events[at:])
		if n == 0 {
			n = len(events) - at
		}
		if err := f(events[at : at+n]); err != nil {
			return err
		}
		at += n
	}
	return nil
}

// split is an event's name and its data; of data in several lines the first, which is no
// whole JSON then.
func split(event []byte) (kind, data []byte) {
	for line := range bytes.Lines(event) {
		name, value, _ := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(":"))
		switch value = bytes.TrimPrefix(value, []byte(" ")); string(name) {
		case "event":
			kind = value
		case "data":
			if data == nil {
				data = value
			}
		}
	}
	return kind, data
}
