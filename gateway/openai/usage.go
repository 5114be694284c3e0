package openai

import (
	"bytes"

	"github.com/valyala/fastjson"
)

// TailSize is how much of an answer's end Usage and the end of a stream need.
const TailSize = 1024

// A Usage is what an engine says a request took.
type Usage struct {
	Prompt     int
	Completion int
	Cached     int  // of Prompt, read from a cache
	HasCached  bool // the engine tells Cached
}

// UsageOf finds the usage in the last bytes of an answer, streamed or not. A
// client's text cannot fake it: inside a JSON string the quotes are escaped.
func UsageOf(tail []byte) (u Usage, ok bool) {
	for rest := tail; ; {
		i := bytes.Index(rest, tokensWord)
		if i < 0 {
			return u, ok
		}
		before := rest[:i]
		rest = rest[i+len(tokensWord):]
		switch { // the last of each counts
		case bytes.HasSuffix(before, promptWord):
			u.Prompt, ok = number(bytes.TrimLeft(rest, " "), 0)
		case bytes.HasSuffix(before, completionWord):
			u.Completion, _ = number(bytes.TrimLeft(rest, " "), 0)
		case bytes.HasSuffix(before, cachedWord):
			u.Cached, u.HasCached = number(bytes.TrimLeft(rest, " "), 0)
		}
	}
}

// Words that the numbers of a usage stand behind, which all end with the first.
var (
	tokensWord     = []byte(`_tokens":`)
	promptWord     = []byte(`"prompt`)
	completionWord = []byte(`"completion`)
	cachedWord     = []byte(`"cached`)
)

// Done tells whether the last bytes of a stream end it properly: with [DONE],
// or with an error event of the engine's own. What a model says cannot fake
// either, because a line of its own is not to be had inside a JSON string.
func Done(tail []byte) (done, failed bool) {
	tail = trimEnd(tail)
	if !bytes.HasSuffix(tail, endMark) && !mentionsError(tail) { // nearly always, and quick to see
		return false, false
	}
	line, ok := bytes.CutPrefix(tail[bytes.LastIndexByte(tail, '\n')+1:], dataField)
	if !ok {
		return false, false
	}
	line = bytes.TrimLeft(line, " ")
	return bytes.Equal(line, endMark), isError(line)
}

// Hollow tells whether the whole events with which a stream begins end it and say nothing
// before that.
func Hollow(b []byte) bool {
	for {
		n := NextEvent(b)
		if n == 0 {
			return false
		}
		event := b[:n]
		if done, _ := Done(event); done {
			return true
		}
		if event[0] != ':' && len(trimEnd(event)) > 0 {
			return false
		}
		b = b[n:]
	}
}

// Ending is how far the whole events go up to and with the one that ends their stream,
// and how that does, as Done has it. Neither: none of them does.
func Ending(events []byte) (n int, done, failed bool) {
	if !bytes.Contains(events, endMark) && !mentionsError(events) {
		return len(events), false, false
	}
	for at := 0; at < len(events); {
		n := NextEvent(events[at:])
		if n == 0 {
			n = len(events) - at
		}
		at += n
		if done, failed := Done(events[at-n : at]); done || failed {
			return at, done, failed
		}
	}
	return len(events), false, false
}

// EngineFailed finds the first of the whole events by which an engine of whatever API says that it has failed:
// one whose data is an error, or that is named so. event is nil where there is none; before it are that many bytes.
func EngineFailed(events []byte) (before int, event []byte) {
	if !bytes.Contains(events, []byte("error")) { // nearly always
		return len(events), nil
	}
	for at := 0; at < len(events); {
		n := NextEvent(events[at:])
		if n == 0 {
			n = len(events) - at
		}
		one := events[at : at+n]
		for line := range bytes.Lines(one) {
			name, value, _ := bytes.Cut(trimEnd(line), []byte(":"))
			value = bytes.TrimSpace(value)
			if string(name) == "event" && string(value) == "error" || string(name) == "data" && IsError(value) {
				return at, one
			}
		}
		at += n
	}
	return len(events), nil
}

// IsError tells whether b is an object that isError takes for an error, or whose type says so.
func IsError(b []byte) bool {
	if isError(b) {
		return true
	}
	if !mentionsError(b) {
		return false
	}
	f := within(b, 0, '{')
	for {
		key, ok := f.next()
		if !ok {
			return false
		}
		at := f.at
		if f.skip(); f.bad {
			return false
		}
		if string(key) == "type" && bytes.Equal(b[at:f.at], errorWord) {
			return true
		}
	}
}

// isError tells whether an event's data is an error: an object that has one, or says
// that it is one, as vLLM's did.
func isError(data []byte) bool {
	if !mentionsError(data) {
		return false
	}
	f := within(data, 0, '{')
	for {
		key, ok := f.next()
		if !ok {
			return false
		}
		at := f.at
		if string(key) == "error" {
			return !isNull(data, at)
		}
		if f.skip(); f.bad {
			return false
		}
		if string(key) == "object" && bytes.Equal(data[at:f.at], errorWord) {
			return true
		}
	}
}

var endMark, errorWord = []byte("[DONE]"), []byte(`"error"`)

// mentionsError tells whether errorWord is in b. Its first two bytes are looked for last: events are full of
// quotes, at each of which a search for the whole would stop.
func mentionsError(b []byte) bool {
	for {
		i := bytes.Index(b, errorWord[2:])
		switch {
		case i < 0:
			return false
		case i >= 2 && b[i-1] == errorWord[1] && b[i-2] == errorWord[0]:
			return true
		}
		b = b[i+1:]
	}
}

// Sound tells whether a whole event could be one of an answer: it has no line that
// is none of an event, and for data a JSON object, the end, or nothing.
func Sound(event []byte) bool {
	var data []byte
	for line := range bytes.Lines(event) {
		line = trimEnd(line)
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch string(name) {
		case "", "event", "id", "retry": // comments have no name
		case "data":
			data = append(append(data, value...), '\n')
		default:
			return false
		}
	}
	data = bytes.TrimSpace(data)
	if len(data) == 0 || bytes.Equal(data, endMark) {
		return true
	}
	return data[0] == '{' && fastjson.ValidateBytes(data) == nil
}

// IsAnswer tells whether b is, or by its ends seems to be, one JSON object, and no error.
func IsAnswer(b []byte) bool {
	b = bytes.TrimSpace(b)
	return len(b) > 1 && b[0] == '{' && b[len(b)-1] == '}' && !isError(b)
}

// trimEnd is b without the ends of lines and the spaces at its end.
func trimEnd(b []byte) []byte {
	n := len(b)
	for n > 0 && (b[n-1] == '\n' || b[n-1] == '\r' || b[n-1] == ' ') {
		n--
	}
	return b[:n]
}

// LastEvent is where the last of the whole events b begins.
func LastEvent(b []byte) int { return EventEnd(bytes.TrimRight(b, "\r\n")) }

// EventEnd returns the length of the complete events at the beginning of b, or
// 0 if it holds none. An event ends with an empty line.
func EventEnd(b []byte) int {
	for i := len(b) - 1; i > 0; i-- {
		if b[i] != '\n' {
			continue
		}
		if b[i-1] == '\n' || (i > 1 && b[i-1] == '\r' && b[i-2] == '\n') {
			return i + 1
		}
	}
	return 0
}
