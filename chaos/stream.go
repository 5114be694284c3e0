package chaos

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// An ending is how the body of an answer ended, and what it said until then.
type ending struct {
	result string
	code   string
	detail string
	text   string

	served   string // node and attempts, where the stream's comment tells them
	attempts int
}

// maxLine bounds one line of a stream.
const maxLine = 1 << 20

// A transcript is what came of a stream so far.
type transcript struct {
	text   strings.Builder
	reason string
	end    ending // its result is empty until the end has come
}

// readStream reads a streamed chat to its end. A clean end of the connection
// without [DONE] or an error event is a truncation; what is left of a line when
// a connection breaks says nothing.
func readStream(r io.Reader) ending {
	lines := bufio.NewReader(io.LimitReader(r, 64<<20))
	t := &transcript{}
	for {
		line, err := lines.ReadString('\n')
		switch {
		case err == io.EOF && t.end.result != "" && line == "":
			return t.ended(t.end)
		case err == io.EOF:
			return t.ended(ending{result: Truncated, detail: "the stream ended without [DONE] and without an error event; its last line: " + clip(strconv.Quote(line))})
		case err != nil && t.end.result != "":
			return t.ended(t.end) // it had said that it was over
		case err != nil:
			return t.ended(ending{result: Broken, detail: err.Error()})
		case len(line) > maxLine:
			return t.ended(ending{result: Garbled, detail: "a line has over 1 MiB"})
		}
		if fault := t.take(strings.TrimRight(line, "\r\n")); fault != "" {
			return t.ended(ending{result: Garbled, detail: fault})
		}
	}
}

func (t *transcript) ended(e ending) ending {
	e.text, e.served, e.attempts = t.text.String(), t.end.served, t.end.attempts
	return e
}

// take reads one line and returns what is wrong with it.
func (t *transcript) take(line string) string {
	data, ok := strings.CutPrefix(line, "data:")
	if !ok { // comments, event names, blank lines
		var node string
		var attempts int
		if n, _ := fmt.Sscanf(line, ": lotabots node=%s attempts=%d", &node, &attempts); n == 2 {
			t.end.served, t.end.attempts = node, attempts
		}
		return ""
	}
	data = strings.TrimPrefix(data, " ")
	if t.end.result != "" {
		return "more came after the end: " + clip(data)
	}
	if data == "[DONE]" {
		t.end.result = Complete
		if t.reason == "" {
			t.end.result, t.end.detail = Truncated, "[DONE] without a finish reason"
		}
		return ""
	}
	c, err := readChunk(data)
	if err != nil {
		return err.Error()
	}
	if c.failed {
		t.end.result, t.end.code, t.end.detail = ErrorEvent, c.code, c.message
		return ""
	}
	if c.reason != "" && t.reason != "" {
		return "two finish reasons"
	}
	if t.reason != "" && c.text != "" {
		return "text came after the finish reason: " + clip(c.text)
	}
	t.text.WriteString(c.text)
	t.reason += c.reason
	return ""
}

type chunk struct {
	text, reason  string
	failed        bool
	code, message string
}

func readChunk(data string) (chunk, error) {
	var doc struct {
		Error   *problem
		Choices []struct {
			Delta        struct{ Content string }
			FinishReason string `json:"finish_reason"`
		}
	}
	if err := json.Unmarshal([]byte(data), &doc); err != nil {
		return chunk{}, errors.New("an event is not JSON: " + clip(data))
	}
	if doc.Error != nil {
		return chunk{failed: true, code: doc.Error.Code, message: doc.Error.Message}, nil
	}
	var c chunk
	for _, choice := range doc.Choices {
		c.text += choice.Delta.Content
		c.reason += choice.FinishReason
	}
	return c, nil
}

// A problem is the error object of the API.
type problem struct{ Code, Message string }

// readWhole reads an answer that is not streamed.
func readWhole(r io.Reader) ending {
	raw, err := io.ReadAll(io.LimitReader(r, 8<<20))
	if err != nil {
		return ending{result: Broken, detail: err.Error()}
	}
	var doc struct {
		Choices []struct {
			Message      struct{ Content string }
			FinishReason string `json:"finish_reason"`
		}
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		result := Garbled
		if err.Error() == "unexpected end of JSON input" {
			result = Truncated
		}
		return ending{result: result, detail: "the body is not JSON: " + clip(string(raw))}
	}
	if len(doc.Choices) != 1 || doc.Choices[0].FinishReason == "" {
		return ending{result: Truncated, detail: "no finish reason: " + clip(string(raw))}
	}
	return ending{result: Complete, text: doc.Choices[0].Message.Content}
}

// readProblem reads the body of an error answer.
func readProblem(r io.Reader) problem {
	raw, _ := io.ReadAll(io.LimitReader(r, 1<<20))
	var doc struct{ Error problem }
	if json.Unmarshal(raw, &doc) != nil || doc.Error.Code == "" {
		return problem{Message: clip(string(raw))}
	}
	return doc.Error
}

func clip(s string) string {
	if len(s) > 200 {
		s = s[:200] + "..."
	}
	return strings.ToValidUTF8(s, "?")
}
