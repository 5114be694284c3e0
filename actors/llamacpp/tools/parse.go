package tools

import (
	"strings"

	"github.com/lotabots/lotabots/actors/llamacpp/openai"
)

// A Delta is a piece of an answer: text, or a piece of a call.
type Delta struct {
	Text string
	Call *openai.CallDelta
}

// A Parser makes text and calls of what a model writes. White space between text and a call belongs to neither.
type Parser struct {
	family *Family
	id     func() string
	at     state
	held   string // not told yet
	wrote  bool   // text that is not white space
	calls  int
	must   bool   // there is no text
	opened string // the mark before a head that may yet turn out to be text
	value  value
}

type state uint8

const (
	inText      state = iota
	inHead            // before a call's arguments
	inArguments       //
	inTail            // after them
)

// NewParser reads one answer. Each call gets an id. must: the answer is made of calls, so that what is not whole of
// the first one's beginning is no text.
func (f *Family) NewParser(must bool, id func() string) *Parser {
	return &Parser{family: f, id: id, must: must}
}

// Calling reports whether what comes belongs to a call.
func (p *Parser) Calling() bool { return p.at != inText }

// Calls is how many calls have begun.
func (p *Parser) Calls() int { return p.calls }

// Push takes the next piece of the text.
func (p *Parser) Push(text string) (out []Delta) {
	p.held += text
	for p.held != "" {
		var more bool
		switch p.at {
		case inText:
			out, more = p.text(out)
		case inHead:
			out, more = p.head(out)
		case inArguments:
			out, more = p.arguments(out)
		case inTail:
			more = p.tail()
		}
		if !more {
			break
		}
	}
	return out
}

// Flush gives what was held back, when no more comes. The beginning of a call without its name is left out.
func (p *Parser) Flush() (out []Delta) {
	if p.at == inText && !p.must && (p.calls == 0 || strings.Trim(p.held, space) != "") {
		out = say(out, p.held)
	}
	p.held = ""
	return out
}

func say(out []Delta, text string) []Delta {
	if text == "" {
		return out
	}
	return append(out, Delta{Text: text})
}

func (p *Parser) text(out []Delta) ([]Delta, bool) {
	mark := p.family.Mark
	if p.family.AtStart {
		begin := strings.TrimLeft(p.held, space)
		switch {
		case p.wrote || p.calls > 0:
		case strings.HasPrefix(begin, mark):
			p.at, p.held, p.opened = inHead, begin, ""
			return out, true
		case strings.HasPrefix(mark, begin):
			return out, false
		}
		p.wrote = true
	} else if at := strings.Index(p.held, mark); at >= 0 {
		out = p.written(out, strings.TrimRight(p.held[:at], space))
		p.at, p.held, p.opened = inHead, p.held[at+len(mark):], mark
		return out, true
	}
	keep := 0
	if !p.family.AtStart {
		keep = begun(p.held, mark)
	}
	now := strings.TrimRight(p.held[:len(p.held)-keep], space) // a call may come after the space
	out = p.written(out, now)
	p.held = p.held[len(now):]
	return out, false
}

// written is text that goes out now.
func (p *Parser) written(out []Delta, text string) []Delta {
	p.wrote = p.wrote || strings.Trim(text, space) != ""
	return say(out, text)
}

// head reads up to the arguments.
func (p *Parser) head(out []Delta) ([]Delta, bool) {
	r := reader{text: p.held}
	r.space()
	if p.family.Form.Open != "" && p.calls == 0 {
		r.word("[")
		r.space()
	}
	r.word("{")
	r.space()
	r.word(`"name"`)
	r.space()
	r.word(":")
	r.space()
	name := r.quoted()
	r.space()
	r.word(",")
	r.space()
	r.word(`"` + p.family.Form.Key + `"`)
	r.space()
	r.word(":")
	r.space()
	if !r.bad && !r.short && r.at == len(p.held) {
		return out, false // the arguments have not begun
	}
	switch {
	case r.bad:
		p.at, p.wrote = inText, true
		return say(out, p.opened), true
	case r.short:
		return out, false
	}
	d := openai.CallDelta{Index: p.calls, Call: openai.Call{ID: p.id(), Name: name}}
	p.calls++
	p.at, p.held, p.value = inArguments, p.held[r.at:], value{}
	return append(out, Delta{Call: &d}), true
}

func (p *Parser) arguments(out []Delta) ([]Delta, bool) {
	n, ended := p.value.take(p.held)
	if n > 0 {
		out = append(out, Delta{Call: &openai.CallDelta{Index: p.calls - 1, Call: openai.Call{Arguments: p.held[:n]}}})
	}
	p.held = p.held[n:]
	if ended {
		p.at = inTail
	}
	return out, ended
}

// tail reads what lies between a call's arguments and the next call, or the end.
func (p *Parser) tail() bool {
	r := reader{text: p.held}
	r.space()
	if p.family.Name == mistral.Name && r.is(",") { // an id
		r.word(",")
		r.space()
		r.word(`"id"`)
		r.space()
		r.word(":")
		r.space()
		r.quoted()
		r.space()
	}
	r.word("}")
	r.space()
	next := inText
	if p.family.Form.Close != "" { // a list
		if r.is(",") {
			r.word(",")
			next = inHead
		} else {
			r.word(p.family.Form.Close)
		}
	} else {
		r.word(strings.Trim(p.family.Form.After, space))
	}
	switch {
	case r.short:
		return false
	case r.bad:
		p.at = inText
		return true
	}
	p.at, p.held, p.opened = next, p.held[r.at:], ""
	return true
}
