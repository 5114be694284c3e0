package openai

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// errSplice says that a body is not of the form that Check has let through.
var errSplice = errors.New("the body is not one JSON object")

// An edit replaces b[at:end] by text.
type edit struct {
	at, end int
	text    string
}

// A splice gathers the edits of one body.
type splice struct {
	body  []byte
	open  int // behind the opening brace
	empty bool
	edits []edit
	front string // fields to go before the first
}

// fields of the object, with where their values lie.
func (s *splice) fields(f func(key []byte, at, end int)) error {
	at := skipSpace(s.body, 0)
	w := within(s.body, at, '{')
	s.open, s.empty = at+1, true
	for {
		key, ok := w.next()
		if !ok {
			break
		}
		s.empty = false
		at := w.at
		if w.skip(); w.bad {
			break
		}
		f(key, at, w.at)
	}
	if w.bad {
		return errSplice
	}
	return nil
}

func (s *splice) replace(at, end int, text string) { s.edits = append(s.edits, edit{at, end, text}) }

// add puts a field in front of the others.
func (s *splice) add(field string) {
	if s.front != "" {
		s.front += ","
	}
	s.front += field
}

// done applies the edits. The body itself stays as it was.
func (s *splice) done() []byte {
	if s.front != "" {
		if !s.empty {
			s.front += ","
		}
		s.replace(s.open, s.open, s.front)
	}
	slices.SortStableFunc(s.edits, func(a, b edit) int { return cmp.Compare(a.at, b.at) })
	size := len(s.body)
	for _, e := range s.edits {
		size += len(e.text) - (e.end - e.at)
	}
	out, copied := make([]byte, 0, size), 0
	for _, e := range s.edits {
		out = append(append(out, s.body[copied:e.at]...), e.text...)
		copied = e.end
	}
	return append(out, s.body[copied:]...)
}

// Asked is what a client has asked for itself, of what Ask may ask for, and how many
// answers to it.
type Asked struct {
	Usage, Tokens bool
	N, Prompts    int // at least 1; a chat's body has no prompts
}

// Ask returns body, of a streamed request, with stream_options.include_usage set
// and, if tokens, with return_token_ids: all else in it stays as it was. It tells
// what was asked for already.
func Ask(body []byte, usage, tokens bool) ([]byte, Asked, error) {
	s := &splice{body: body}
	asked := Asked{N: 1, Prompts: 1}
	options := false
	err := s.fields(func(key []byte, at, end int) {
		switch string(key) {
		case "stream_options":
			options = true
			asked.Usage = s.options(at, end, usage)
		case "return_token_ids":
			if asked.Tokens = body[at] == 't'; tokens && !asked.Tokens {
				s.replace(at, end, "true")
			}
			tokens = false
		case "n":
			n, _ := number(body, at)
			asked.N = max(1, n)
		case "prompt":
			asked.Prompts = prompts(body, at)
		}
	})
	if err != nil {
		return nil, asked, err
	}
	if usage && !options {
		s.add(`"stream_options":{"include_usage":true}`)
	}
	if tokens {
		s.add(`"return_token_ids":true`)
	}
	if s.front == "" && len(s.edits) == 0 {
		return body, asked, nil
	}
	return s.done(), asked, nil
}

// prompts is how many there are in a completion's prompt at body[at].
func prompts(body []byte, at int) (n int) {
	f := within(body, at, '[')
	for f.more(']') {
		if body[f.at] != '"' && body[f.at] != '[' { // the tokens of one
			return 1
		}
		n++
		if f.skip(); f.bad {
			break
		}
	}
	return max(1, n)
}

// options sets include_usage in the stream_options at body[at:end], and tells
// whether it was set.
func (s *splice) options(at, end int, want bool) (was bool) {
	if s.body[at] != '{' {
		if want {
			s.replace(at, end, `{"include_usage":true}`)
		}
		return false
	}
	f := within(s.body, at, '{')
	given, first := false, true
	for {
		key, ok := f.next()
		if !ok {
			break
		}
		first = false
		at := f.at
		if f.skip(); f.bad {
			break
		}
		if string(key) == "include_usage" {
			given, was = true, s.body[at] == 't'
			if want && !was {
				s.replace(at, f.at, "true")
			}
		}
	}
	if want && !given {
		text := `"include_usage":true`
		if !first {
			text += ","
		}
		s.replace(at+1, at+1, text)
	}
	return was
}

// A Begun is what was answered to a streamed request before it broke off.
type Begun struct {
	Text   []byte // as JSON has it, without the quotes
	Tokens []byte // the ids, with commas between; empty: not known
	Events int    // that had a choice, but for the one with the role
	Pieces int    // that had text: about as many tokens
}

// ErrNoContinuation is wrapped by errors that say why a request cannot be continued.
var ErrNoContinuation = errors.New("the request cannot be continued")

func cannot(why string) error { return fmt.Errorf("%w: %s", ErrNoContinuation, why) }

// ContinueTokens returns body, made by Ask, as an engine understands it that has
// spec.AbleTokens: it goes on behind these tokens, and with the first event that
// the client has not got.
func ContinueTokens(body []byte, b Begun) ([]byte, error) {
	s := &splice{body: body}
	var err error
	if bad := s.fields(func(key []byte, at, _ int) {
		switch string(key) {
		case "continuation":
			err = cannot("it is a continuation itself")
		case "n":
			if n, _ := number(body, at); n > 1 {
				err = cannot("it asks for several answers")
			}
		}
	}); bad != nil {
		err = bad
	}
	if err != nil {
		return nil, err
	}
	s.add(`"continuation":{"token_ids":[` + string(bytes.TrimRight(b.Tokens, ",")) + `],"events":` + strconv.Itoa(b.Events) + `}`)
	return s.done(), nil
}
