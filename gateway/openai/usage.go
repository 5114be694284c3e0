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
	Cached     int // of Prompt, read from a cache
}

// UsageOf finds the usage in the last bytes of an answer, streamed or not. A
// client's text cannot fake it: inside a JSON string the quotes are escaped.
func UsageOf(tail []byte) (u Usage, ok bool) {
	u.Prompt, ok = lastNumber(tail, `"prompt_tokens":`)
	u.Completion, _ = lastNumber(tail, `"completion_tokens":`)
	u.Cached, _ = lastNumber(tail, `"cached_tokens":`)
	return u, ok
}

func lastNumber(b []byte, key string) (int, bool) {
	i := bytes.LastIndex(b, []byte(key))
	if i < 0 {
		return 0, false
	}
	b = bytes.TrimLeft(b[i+len(key):], " ")
	return number(b, 0)
}

// Done tells whether the last bytes of a stream end it properly: with [DONE],
// or with an error event of the engine's own. What a model says cannot fake
// either, because a line of its own is not to be had inside a JSON string.
func Done(tail []byte) (done, failed bool) {
	tail = trimEnd(tail)
	if !bytes.HasSuffix(tail, endMark) && !bytes.Contains(tail, errorBegin) { // nearly always, and quick to see
		return false, false
	}
	line, ok := bytes.CutPrefix(tail[bytes.LastIndexByte(tail, '\n')+1:], []byte("data:"))
	if !ok {
		return false, false
	}
	line = bytes.TrimLeft(line, " ")
	return bytes.Equal(line, endMark), bytes.HasPrefix(line, errorBegin)
}

var endMark, errorBegin = []byte("[DONE]"), []byte(`{"error"`)

// trimEnd is b without the ends of lines and the spaces at its end.
func trimEnd(b []byte) []byte {
	n := len(b)
	for n > 0 && (b[n-1] == '\n' || b[n-1] == '\r' || b[n-1] == ' ') {
		n--
	}
	return b[:n]
}

// ErrorMessage is what an engine says in its error event; empty where it cannot be told.
func ErrorMessage(event []byte) string {
	at := bytes.Index(event, []byte(`{"error"`))
	if at < 0 {
		return ""
	}
	return fastjson.GetString(bytes.TrimRight(event[at:], "\r\n "), "error", "message")
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
