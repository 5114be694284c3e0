package openai

import (
	"bytes"
	"strconv"
)

// prevents are the fields with which an engine cannot go on behind a text: they
// begin again with each request, or tell of more than the text shows.
var prevents = map[string]string{
	"response_format": "its answer has a grammar", "guided_json": "its answer has a grammar", "guided_regex": "its answer has a grammar",
	"guided_choice": "its answer has a grammar", "guided_grammar": "its answer has a grammar", "structured_outputs": "its answer has a grammar",
	"grammar": "its answer has a grammar", "json_schema": "its answer has a grammar", "regex": "its answer has a grammar", "ebnf": "its answer has a grammar",
	"echo": "its answer repeats the prompt", "suffix": "its answer has an end given", "min_tokens": "its answer has a least length",
	"continuation": "it is a continuation itself", "audio": "its answer is heard", "best_of": "it asks for several answers",
}

// ContinueText returns body, a chat's or a completion's, with what was answered as
// the beginning of its answer, and with as many tokens less to come.
func ContinueText(chat bool, body []byte, b Begun) ([]byte, error) {
	s := &splice{body: body}
	t := &continuing{splice: s, chat: chat, begun: b}
	if err := s.fields(t.field); err != nil {
		return nil, err
	}
	if t.err != nil {
		return nil, t.err
	}
	if !t.limited && !chat { // engines differ in what they do without
		return nil, cannot("it has no max_tokens")
	}
	if !t.placed {
		return nil, cannot("its prompt is not a text")
	}
	if chat && !t.more {
		t.set("continue_final_message", t.final, "true")
		t.set("add_generation_prompt", t.prompt, "false")
	}
	return s.done(), nil
}

// continuing is the state of ContinueText.
type continuing struct {
	*splice
	chat    bool
	begun   Begun
	err     error
	limited bool // there is a max_tokens
	placed  bool // the text has its place
	more    bool // the client's last message is continued already
	final   Span // the value of continue_final_message
	prompt  Span // that of add_generation_prompt
}

// set gives a field its value, which lies at the span if it is given.
func (t *continuing) set(field string, given Span, value string) {
	if given.End > 0 {
		t.replace(given.At, given.End, value)
		return
	}
	t.add(`"` + field + `":` + value)
}

func (t *continuing) field(key []byte, at, end int) {
	if why := prevents[string(key)]; why != "" && !harmless(t.body[at:end]) {
		t.err = cannot(why)
		return
	}
	switch string(key) {
	case "messages":
		t.messages(at, end)
	case "prompt":
		if !t.chat && t.body[at] == '"' {
			t.replace(end-1, end-1, string(t.begun.Text))
			t.placed = true
		}
	case "n":
		if n, _ := number(t.body, at); n > 1 {
			t.err = cannot("it asks for several answers")
		}
	case "max_tokens", "max_completion_tokens":
		t.limit(at, end)
	case "continue_final_message":
		t.more, t.final = t.body[at] == 't', Span{at, end}
	case "add_generation_prompt":
		t.prompt = Span{at, end}
	case "logprobs":
		if !t.chat && !harmless(t.body[at:end]) {
			t.err = cannot("its logprobs count from the answer's beginning")
		}
	}
}

// harmless values ask for nothing.
func harmless(value []byte) bool {
	switch string(value) {
	case "null", "false", `""`, "1", "0":
		return true
	}
	flat := bytes.Join(bytes.Fields(value), nil)
	return string(flat) == `{"type":"text"}`
}

func (t *continuing) limit(at, end int) {
	n, ok := number(t.body, at)
	if !ok {
		return // null
	}
	t.limited = true
	if n -= t.begun.Pieces; n < 1 {
		t.err = cannot("its answer was as long as asked for")
		return
	}
	t.replace(at, end, strconv.Itoa(n))
}

// messages puts the text behind the last of them.
func (t *continuing) messages(at, end int) {
	if !t.chat || t.body[at] != '[' {
		return
	}
	f := within(t.body, at, '[')
	last := 0
	for f.more(']') {
		last = f.at
		f.skip()
	}
	if f.bad || last == 0 {
		return
	}
	if !t.continues() {
		t.replace(end-1, end-1, `,{"role":"assistant","content":"`+string(t.begun.Text)+`"}`)
		t.placed = true
		return
	}
	f = within(t.body, last, '{')
	for {
		key, ok := f.next()
		if !ok {
			return
		}
		at := f.at
		if f.skip(); f.bad {
			return
		}
		if string(key) == "content" && t.body[at] == '"' {
			t.replace(f.at-1, f.at-1, string(t.begun.Text))
			t.placed = true
		}
	}
}

// continues tells whether the client has its last message continued, wherever in
// the body it says so.
func (t *continuing) continues() bool {
	if !bytes.Contains(t.body, []byte("continue_final_message")) {
		return false
	}
	found := false
	_ = (&splice{body: t.body}).fields(func(key []byte, at, _ int) {
		if string(key) == "continue_final_message" {
			found = t.body[at] == 't'
		}
	})
	return found
}
