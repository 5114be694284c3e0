package openai

import "bytes"

// A Span is a piece of an event, from At up to End; none where they are equal.
type Span struct{ At, End int }

// Of is the bytes of the span.
func (s Span) Of(b []byte) []byte { return b[s.At:s.End] }

// A Chunk is where the parts of a streamed answer's event lie that the way back
// needs. Scanning takes no memory.
type Chunk struct {
	Choices int     // in the event; 0: it tells something of the whole answer
	Index   int     // of the first choice
	Text    Span    // of it: its piece of the answer, as JSON has it, without the quotes
	Calls   bool    // it has a piece of a call
	Other   bool    // it has something else that a continuation would have to know
	Finish  bool    // it ends that choice
	Rest    []Ended // the choices behind the first; their memory is used again by the next Scan
	Role    Span    // the field, with its comma
	Tokens  Span    // the ids of its tokens, without the brackets
	Told    Span    // the field that tells them, with its comma
	Usage   Span    // the object
	ID      Span    // the answer's, with the quotes
	Created Span
}

// An Ended is a choice of an event that has several.
type Ended struct {
	Index  int
	Finish bool
}

// NextEvent is the length of the first event of b, which begins with one; 0: it is not whole.
func NextEvent(b []byte) int {
	for i := 0; ; {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			return 0
		}
		i += n + 1
		switch {
		case i < len(b) && b[i] == '\n':
			return i + 1
		case i+1 < len(b) && b[i] == '\r' && b[i+1] == '\n':
			return i + 2
		}
	}
}

// Scan reads one event. False: it is no piece of an answer that could be understood,
// such as a comment, an error or the end.
func (c *Chunk) Scan(event []byte) bool {
	*c = Chunk{Rest: c.Rest[:0]}
	if !bytes.HasPrefix(event, dataField) {
		return false
	}
	at := skipSpace(event, len(dataField))
	f := within(event, at, '{')
	choices := false
	for {
		key, ok := f.next()
		if !ok {
			break
		}
		at = f.at
		switch string(key) {
		case "choices":
			choices = true
			f.at = c.choices(event, at)
		case "id":
			f.skip()
			c.ID = Span{at, f.at}
		case "created":
			f.skip()
			c.Created = Span{at, f.at}
		case "usage":
			f.skip()
			if event[at] == '{' {
				c.Usage = Span{at, f.at}
			}
		default:
			f.skip()
		}
		if f.at <= at {
			return false
		}
	}
	return choices && !f.bad && len(bytes.TrimRight(event[f.at:], "\r\n")) == 0
}

var dataField = []byte("data:")

// choices reads the list at event[at] and returns where it ends, or 0.
func (c *Chunk) choices(event []byte, at int) int {
	f := within(event, at, '[')
	for f.more(']') {
		c.Choices++
		first := Ended{c.Index, c.Finish}
		c.Index, c.Finish = 0, false
		end := c.choice(event, f.at)
		if end <= f.at {
			return 0
		}
		if c.Choices > 1 {
			c.Rest = append(c.Rest, Ended{c.Index, c.Finish})
			c.Index, c.Finish = first.Index, first.Finish
		}
		f.at = end
	}
	if f.bad {
		return 0
	}
	c.Other = c.Other || c.Choices > 1
	return f.at
}

func (c *Chunk) choice(event []byte, at int) int {
	f := within(event, at, '{')
	for {
		from := f.at // the brace or comma before, or what follows it
		key, ok := f.next()
		if !ok {
			break
		}
		at := f.at
		switch string(key) {
		case "delta":
			f.at = c.delta(event, at)
		case "text":
			f.skip()
			c.text(event, at, f.at)
		case "finish_reason":
			f.skip()
			c.Finish = event[at] == '"' && !isEmpty(event, at) // some engines have "" in each event
		case "token_ids":
			if f.skip(); !f.bad && event[at] == '[' {
				c.Tokens, c.Told = Span{at + 1, f.at - 1}, cutting(event, from, f.at)
			}
		case "index":
			c.Index, _ = number(event, at)
			f.skip()
		case "logprobs", "stop_reason":
			f.skip()
		default:
			f.skip()
			c.Other = c.Other || !isNull(event, at)
		}
		if f.at <= at || f.bad {
			return 0
		}
	}
	if f.bad {
		return 0
	}
	return f.at
}

func (c *Chunk) delta(event []byte, at int) int {
	f := within(event, at, '{')
	for {
		from := f.at
		key, ok := f.next()
		if !ok {
			break
		}
		at := f.at
		if f.skip(); f.bad {
			return 0
		}
		switch string(key) {
		case "role":
			c.Role = cutting(event, from, f.at)
		case "content":
			c.text(event, at, f.at)
		case "tool_calls", "function_call":
			c.Calls = c.Calls || !isNull(event, at) && !isEmpty(event, at)
		default:
			c.Other = c.Other || !isNull(event, at) && !isEmpty(event, at)
		}
	}
	if f.bad {
		return 0
	}
	return f.at
}

func (c *Chunk) text(event []byte, at, end int) {
	switch {
	case event[at] == '"':
		c.Text = Span{at + 1, end - 1}
	case !isNull(event, at):
		c.Other = true
	}
}

// cutting is what to leave out so that the field that ends at end is gone: from is
// the end of what comes before it.
func cutting(event []byte, from, end int) Span {
	if event[skipSpace(event, from)] == ',' {
		return Span{from, end}
	}
	if next := skipSpace(event, end); next < len(event) && event[next] == ',' {
		end = next + 1
	}
	return Span{from, end}
}

func isNull(b []byte, at int) bool { return b[at] == 'n' }

// isEmpty tells of "", [] and {}.
func isEmpty(b []byte, at int) bool {
	switch b[at] {
	case '"':
		return at+1 < len(b) && b[at+1] == '"'
	case '[', '{':
		end := skipSpace(b, at+1)
		return end < len(b) && (b[end] == ']' || b[end] == '}')
	}
	return false
}

// ShiftUsage counts n tokens of the usage in event, whose place is u, as the
// completion's that the engine has counted as the prompt's. Their sum is the same.
func ShiftUsage(dst, event []byte, u Span, n int) []byte {
	f := within(event, u.At, '{')
	copied := 0
	for {
		key, ok := f.next()
		if !ok {
			return append(dst, event[copied:]...)
		}
		at := f.at
		if f.skip(); f.bad {
			return append(dst, event[copied:]...)
		}
		was, isNumber := number(event, at)
		if !isNumber {
			continue
		}
		switch string(key) {
		case "prompt_tokens":
			was = max(was-n, 0)
		case "completion_tokens":
			was += n
		default:
			continue
		}
		dst = append(dst, event[copied:at]...)
		dst = appendInt(dst, was)
		copied = f.at
	}
}
