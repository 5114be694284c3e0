package engine

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// repeats is what a driver has whose program begins an answer that it goes on with by what was there
// already. Other programs tell what is new alone, and so does the Engine.
type repeats interface{ repeats() }

func (*llamaServer) repeats() {}

// begun is the answer that a chat's body asks to be gone on with; empty: there is none.
func begun(body []byte) string {
	if !bytes.Contains(body, []byte("continue_final_message")) {
		return ""
	}
	var asked struct {
		Messages []struct {
			Role    string          `json:"role"`
			Content json.RawMessage `json:"content"`
		} `json:"messages"`
		Continue bool `json:"continue_final_message"`
	}
	if json.Unmarshal(body, &asked) != nil || !asked.Continue || len(asked.Messages) == 0 {
		return ""
	}
	last, text := asked.Messages[len(asked.Messages)-1], ""
	if last.Role != "assistant" || json.Unmarshal(last.Content, &text) != nil {
		return ""
	}
	return text
}

// maxWhole bounds an answer that is read whole to take its beginning off.
const maxWhole = 64 << 20

// unrepeated takes what was there already off an answer.
func unrepeated(resp *http.Response, was string) error {
	if resp.StatusCode != http.StatusOK || was == "" {
		return nil
	}
	u := &unrepeating{was: was, said: map[int]string{}, body: resp.Body}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		u.in = bufio.NewReader(resp.Body)
		resp.Body = u
		return nil
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxWhole+1))
	_ = resp.Body.Close()
	if err != nil || len(answer) > maxWhole {
		return io.ErrUnexpectedEOF
	}
	answer, _ = u.without(answer, "message")
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(answer)), int64(len(answer))
	resp.Header = resp.Header.Clone() // which others may have
	resp.Header.Del("Content-Length")
	return nil
}

// unrepeating is a stream of events whose first ones are looked at; what comes behind them passes as it is.
type unrepeating struct {
	was  string
	said map[int]string // of each choice that has not said all of it
	body io.ReadCloser
	in   *bufio.Reader
	out  []byte // to be read first
	done bool
}

func (u *unrepeating) Read(p []byte) (int, error) {
	for len(u.out) == 0 && !u.done {
		line, err := u.in.ReadBytes('\n')
		if data, ok := bytes.CutPrefix(line, []byte("data:")); ok && err == nil {
			changed, more := u.without(bytes.TrimSpace(data), "delta")
			u.done = !more
			line = append(append([]byte("data: "), changed...), '\n')
		}
		if u.out = line; err != nil {
			u.done = true // it comes again
		}
	}
	if len(u.out) > 0 {
		n := copy(p, u.out)
		u.out = u.out[n:]
		return n, nil
	}
	return u.in.Read(p)
}

func (u *unrepeating) Close() error { return u.body.Close() }

// without takes off what a chunk or an answer repeats, and tells whether more may come. What is not
// understood stays as it was.
func (u *unrepeating) without(b []byte, inside string) (_ []byte, more bool) {
	var doc map[string]json.RawMessage
	var choices []map[string]json.RawMessage
	if json.Unmarshal(b, &doc) != nil || json.Unmarshal(doc["choices"], &choices) != nil {
		return b, false
	}
	for _, c := range choices {
		var said map[string]json.RawMessage
		var content *string
		at := 0
		_ = json.Unmarshal(c["index"], &at)
		if json.Unmarshal(c[inside], &said) != nil || json.Unmarshal(said["content"], &content) != nil || content == nil {
			continue
		}
		text, rest := u.take(at, *content)
		more = more || rest
		said["content"] = mustJSON(text)
		c[inside] = mustJSON(said)
	}
	if len(u.said) == 0 { // no choice has said anything yet
		more = true
	}
	doc["choices"] = mustJSON(choices)
	return mustJSON(doc), more
}

// take adds content to what a choice has said, and returns what of it is new.
func (u *unrepeating) take(at int, content string) (text string, more bool) {
	before, ended := u.said[at]
	if ended && before == u.was {
		return content, false
	}
	all := before + content
	switch {
	case strings.HasPrefix(all, u.was):
		u.said[at] = u.was
		return all[len(u.was):], false
	case strings.HasPrefix(u.was, all):
		if all != "" {
			u.said[at] = all
		}
		return "", true
	default: // it repeats nothing
		u.said[at] = u.was
		return all, false
	}
}

// mustJSON writes what was JSON before, or a string.
func mustJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
