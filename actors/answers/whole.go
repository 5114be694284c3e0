package answers

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// A piece is what tells of an answer, or of an event of one, whether it is whole.
type piece struct {
	Error   json.RawMessage `json:"error"`
	Choices []struct {
		Index  int    `json:"index"`
		Finish string `json:"finish_reason"`
	} `json:"choices"`
	Data    json.RawMessage `json:"data"`    // embeddings
	Results json.RawMessage `json:"results"` // of a rerank
}

// Whole tells whether the answer of status 200 is one that may be given again: nothing
// failed in it, it came to its end, and each of its choices did by itself, at its
// length or with a call of a tool.
func Whole(contentType string, body []byte) bool {
	if strings.HasPrefix(contentType, "text/event-stream") {
		return wholeStream(body)
	}
	var p piece
	if !utf8.Valid(body) || json.Unmarshal(body, &p) != nil || failed(p.Error) {
		return false
	}
	if len(p.Data) > 0 || len(p.Results) > 0 {
		return len(p.Choices) == 0 && (listed(p.Data) || len(p.Data) == 0 && p.Results[0] == '[')
	}
	for _, c := range p.Choices {
		if !finished(c.Finish) {
			return false
		}
	}
	return len(p.Choices) > 0
}

func finished(reason string) bool {
	return reason == "stop" || reason == "length" || reason == "tool_calls"
}

// listed tells whether it is a list that has something, as an embedding's always has.
func listed(list json.RawMessage) bool {
	return len(list) > 2 && list[0] == '[' && len(bytes.TrimSpace(list[1:len(list)-1])) > 0
}

func failed(e json.RawMessage) bool { return len(e) > 0 && !bytes.Equal(e, []byte("null")) }

// wholeStream is Whole of a stream of events.
func wholeStream(body []byte) bool {
	if !utf8.Valid(body) {
		return false
	}
	ended := map[int]bool{} // the choices: whether they have ended
	done := false
	for line := range bytes.Lines(body) {
		line = bytes.TrimRight(line, "\r\n")
		data, isData := bytes.CutPrefix(line, []byte("data:"))
		switch data = bytes.TrimLeft(data, " "); {
		case len(line) == 0 || line[0] == ':':
			continue
		case !isData || done: // another field of an event, or something behind the end
			return false
		case bytes.Equal(data, []byte("[DONE]")):
			done = true
			continue
		}
		var p piece
		if json.Unmarshal(data, &p) != nil || failed(p.Error) {
			return false
		}
		for _, c := range p.Choices {
			if c.Finish != "" && !finished(c.Finish) {
				return false
			}
			ended[c.Index] = ended[c.Index] || c.Finish != ""
		}
	}
	for _, end := range ended {
		if !end {
			return false
		}
	}
	return done && len(ended) > 0
}
