package relay

import (
	"bytes"
	"unicode/utf8"

	"github.com/lotabots/lotabots/gateway/openai"
)

// What is kept of an answer for its resumption. An answer that is longer cannot be resumed.
const (
	maxText   = 1 << 20
	maxTokens = 1 << 20
	shortText = 256 // has room for most answers' first words: it grows less often
)

// A transcript is what the client has been told of a streamed answer. The goroutine that
// writes to the client owns it.
type transcript struct {
	text    []byte // as JSON has it, without the quotes
	tokens  []byte // ids, each with a comma behind it
	events  int    // that had a choice, but for the one that has nothing but the role
	pieces  int    // that had text
	counted int    // token ids
	strange bool   // an event came that is no piece of an answer
	id      []byte // of the answer, with its quotes
	created []byte
	role    bool // the event with the role was passed on
	calls   bool // a call was begun
	other   bool // something came that no text can stand for
	long    bool // more than is kept
	begun   places
	ended   places // of begun
	blind   bool   // an event that cannot be read may have ended a choice
	usage   bool   // its usage came too
}

// tokensWhole tells whether the token ids stand for all that was told. Of an engine
// that tells them, an event without has none that the one before had not.
func (t *transcript) tokensWhole() bool { return !t.long && !t.strange && t.counted > 0 }

// silent tells whether nothing of the answer itself was told yet.
func (t *transcript) silent() bool { return t.events == 0 && !t.other && !t.calls }

// textLost says why the text does not stand for all that was told; empty: it does.
func (t *transcript) textLost() string {
	switch {
	case t.long:
		return "its answer is too long"
	case t.calls:
		return "a call of a tool was in progress"
	case t.other:
		return "its answer is more than text"
	}
	return ""
}

// note takes note of an event that is passed on.
func (t *transcript) note(event []byte, c *openai.Chunk) {
	if t.id == nil && c.ID.End > 0 {
		t.id, t.created = bytes.Clone(c.ID.Of(event)), bytes.Clone(c.Created.Of(event))
	}
	if c.Choices == 0 {
		t.usage = t.usage || c.Usage.End > 0
		return
	}
	t.other = t.other || c.Other || c.Index != 0
	t.choice(c.Index, c.Finish)
	for _, r := range c.Rest {
		t.choice(r.Index, r.Finish)
	}
	t.calls = t.calls || c.Calls
	if rolesOnly(c) {
		t.role = true
		return
	}
	t.events++
	text := c.Text.Of(event)
	if len(text) > 0 || c.Calls {
		t.pieces++
	}
	ids := c.Tokens.Of(event)
	if len(ids) > 0 {
		t.counted += 1 + bytes.Count(ids, comma)
	}
	if t.long = t.long || len(t.text)+len(text) > maxText || len(t.tokens)+len(ids) >= maxTokens; t.long {
		t.text, t.tokens = nil, nil
		return
	}
	if t.text == nil {
		t.text = make([]byte, 0, shortText)
	}
	t.text = append(t.text, text...)
	if len(ids) > 0 {
		t.tokens = append(append(t.tokens, ids...), ',')
	}
}

// choice takes note of a piece of the choice at that index.
func (t *transcript) choice(at int, finish bool) {
	if t.begun.add(at); finish {
		t.ended.add(at)
	}
}

// finished tells whether all choices that were begun have ended, and at least so many:
// what may lack of the answer is its usage and the end mark.
func (t *transcript) finished(least int) bool {
	return t.ended.n >= max(1, least) && t.ended.n == t.begun.n
}

var comma = []byte(",")

// rolesOnly tells whether the event says who speaks and nothing else.
func rolesOnly(c *openai.Chunk) bool {
	return c.Role.End > 0 && c.Text.At == c.Text.End && !c.Calls && !c.Other && !c.Finish && c.Tokens.End == 0
}

// completion is how many tokens were passed on, as far as can be told.
func (t *transcript) completion() int {
	if t.counted > 0 {
		return t.counted
	}
	return t.pieces
}

// edited takes note of whole events and returns those that the client is to get:
// without what it has not asked for, and, of an answer that goes on, as
// those of the one that it knows. What it returns lies in events or in b.edit.
func (b *body) edited(events []byte) []byte {
	x := b.x
	if !x.follows() {
		return events
	}
	if x.resuming {
		return b.rewritten(events)
	}
	kept, foul := 0, b.foul(events)
	for at := 0; at < len(events); {
		n := openai.NextEvent(events[at:])
		if n == 0 {
			n = len(events) - at
		}
		event := events[at : at+n]
		at += n
		if foul && b.foul(event) {
			b.garbled = append(b.garbled[:0], event...)
			break
		}
		c := &b.chunk
		if !c.Scan(event) {
			if b.strange(event) {
				break
			}
			kept += copy(events[kept:], event)
			continue
		}
		x.script.note(event, c)
		if !x.wanted && c.Choices == 0 && c.Usage.End > 0 {
			continue
		}
		cut := c.Told
		if !x.asking.tokens {
			cut = openai.Span{}
		}
		kept += copy(events[kept:], event[:cut.At])
		kept += copy(events[kept:], event[cut.End:])
	}
	return events[:kept]
}

// foul tells whether there is something in whole events that is no text at all.
func (b *body) foul(events []byte) bool { return b.intact && !utf8.Valid(events) }

// strange takes note of what is no piece of an answer: comments and ends are none
// either, but a piece that cannot be understood cannot be continued. True: it is none
// of an event at all, and neither it nor what follows is passed on.
func (b *body) strange(event []byte) bool {
	b.x.script.blind = b.x.script.blind || !b.intact || bytes.Contains(event, finishField)
	if done, failed := openai.Done(event); done || failed || len(bytes.TrimLeft(event, "\r\n")) == 0 || event[0] == ':' {
		return false
	}
	if b.intact && !(openai.Sound(event) && openai.IsPiece(event)) {
		b.garbled = append(b.garbled[:0], event...)
		return true
	}
	b.x.script.other, b.x.script.strange = true, true
	return false
}

var finishField = []byte(`"finish_reason"`)
