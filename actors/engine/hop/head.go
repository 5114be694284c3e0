package hop

import (
	"errors"
	"net/http"
	"strings"
)

// A head is what an answer begins with.
type head struct {
	status  int
	proto   string
	reason  string
	fields  http.Header
	length  int64 // of the body; -1: it is not told
	chunked bool
	keep    bool      // the server takes another request on the connection
	text    string    // all of it
	values  [8]string // of the first fields: most heads have no more, and each field one
}

// known is the head that b begins with, where it is that of the answer before; nil: it is another, or has not come whole.
// A server's heads are alike for a second at a time, but where they tell of answers of different lengths: the last one is
// kept, and nobody changes its fields.
func (c *Caller) known(b []byte) *head {
	last := c.last.Load()
	if last == nil || len(b) < len(last.text) || string(b[:len(last.text)]) != last.text {
		return nil
	}
	return last
}

// head is what b says, a whole head.
func (c *Caller) head(b []byte) (*head, error) {
	h, err := parseHead(string(b))
	if err == nil {
		c.last.Store(h)
	}
	return h, err
}

var (
	errStatusLine = errors.New("the answer does not begin as HTTP/1.1 does")
	errField      = errors.New("the answer has a header that is none")
	errLength     = errors.New("the answer's length is not clear")
)

// headEnd is where the head that b begins with ends, if not before from; negative: it
// does not yet.
func headEnd(b []byte, from int) int {
	for at := max(from, 0); at < len(b); at++ {
		if b[at] != '\n' {
			continue
		}
		rest := b[at+1:]
		switch {
		case len(rest) > 0 && rest[0] == '\n':
			return at + 2
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
			return at + 3
		}
	}
	return -1
}

// parseHead reads a whole head.
func parseHead(text string) (*head, error) {
	h := &head{text: text, fields: make(http.Header, 8), length: -1}
	line, rest := cutLine(text)
	if err := h.begin(line); err != nil {
		return nil, err
	}
	h.keep = h.proto == "HTTP/1.1"
	values := h.values[:0]
	for n := 0; ; n++ {
		if line, rest = cutLine(rest); line == "" {
			break
		}
		colon := strings.IndexByte(line, ':')
		if n >= mostFields || colon <= 0 || !isToken(line[:colon]) {
			return nil, errField
		}
		name, value := canonical(line[:colon]), strings.Trim(line[colon+1:], " \t")
		if !written(value) {
			return nil, errField
		}
		if before, ok := h.fields[name]; ok {
			h.fields[name] = append(before[:len(before):len(before)], value)
		} else {
			values = append(values, value)
			h.fields[name] = values[len(values)-1 : len(values) : len(values)]
		}
		if err := h.frame(name, value); err != nil {
			return nil, err
		}
	}
	if h.chunked && h.length >= 0 { // which of the two it is nobody knows for sure
		h.keep, h.length = false, -1
	}
	return h, nil
}

// frame takes in what a field says of where the answer ends.
func (h *head) frame(name, value string) error {
	switch name {
	case "Content-Length":
		n, ok := parseLength(value)
		if !ok || h.length >= 0 && h.length != n {
			return errLength
		}
		h.length = n
	case "Transfer-Encoding":
		if h.chunked || h.proto != "HTTP/1.1" || !strings.EqualFold(value, "chunked") {
			return errLength
		}
		h.chunked = true
	case "Connection":
		for token := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.Trim(token, " \t"), "close") {
				h.keep = false
			}
		}
	}
	return nil
}

// begin takes in the status line.
func (h *head) begin(line string) error {
	if len(line) < len("HTTP/1.1 200") || line[8] != ' ' || len(line) > 12 && line[12] != ' ' {
		return errStatusLine
	}
	if h.proto = line[:8]; h.proto != "HTTP/1.1" && h.proto != "HTTP/1.0" {
		return errStatusLine
	}
	for i := range 3 {
		c := line[9+i]
		if c < '0' || c > '9' {
			return errStatusLine
		}
		h.status = 10*h.status + int(c-'0')
	}
	if h.status < 100 {
		return errStatusLine
	}
	h.reason = line[9:]
	return nil
}

// cutLine returns text up to the first line end, and what follows.
func cutLine(text string) (line, rest string) {
	at := strings.IndexByte(text, '\n')
	if at < 0 {
		return text, ""
	}
	return strings.TrimSuffix(text[:at], "\r"), text[at+1:]
}

func parseLength(text string) (n int64, ok bool) {
	for i := range len(text) {
		c := text[i]
		if c < '0' || c > '9' || n > 1<<56 {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, text != ""
}

func isToken(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return true
}
