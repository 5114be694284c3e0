package form

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"strings"
)

// Bounds of a body.
const (
	MaxParts  = 128
	maxHeader = 8 << 10 // bytes before one part's value
)

// ErrNoForm says that the content type is another.
var ErrNoForm = errors.New("the content type is not multipart/form-data with a boundary")

// A Part is one field or file. Value is the body's own memory, and At where it begins.
type Part struct {
	Name  string
	File  bool // it has a file's name
	Value []byte
	At    int
}

// Parts are those of body, in their order.
func Parts(contentType string, body []byte) ([]Part, error) {
	boundary, err := boundaryOf(contentType)
	if err != nil {
		return nil, err
	}
	mark := []byte("\r\n--" + boundary)
	var at int
	switch {
	case bytes.HasPrefix(body, mark[2:]):
		at = len(mark) - 2
	case bytes.HasPrefix(body, mark):
		at = len(mark)
	default:
		return nil, errors.New("the body does not begin with its boundary")
	}
	var parts []Part
	for {
		rest := body[at:]
		if bytes.HasPrefix(rest, []byte("--")) {
			return parts, nil
		}
		spaces := len(rest) - len(bytes.TrimLeft(rest, " \t"))
		if !bytes.HasPrefix(rest[spaces:], []byte("\r\n")) {
			return nil, errors.New("a boundary is followed by something else")
		}
		if len(parts) == MaxParts {
			return nil, fmt.Errorf("there are more than %d parts", MaxParts)
		}
		at += spaces + 2
		p, used, err := part(body[at:])
		if err != nil {
			return nil, fmt.Errorf("part %d: %w", len(parts)+1, err)
		}
		p.At = at + used
		if bytes.HasPrefix(body[p.At:], mark[2:]) {
			return nil, fmt.Errorf("part %d: its header runs into the boundary", len(parts)+1)
		}
		end := bytes.Index(body[p.At:], mark)
		if end < 0 {
			return nil, errors.New("the last boundary is missing")
		}
		p.Value = body[p.At : p.At+end : p.At+end]
		parts = append(parts, p)
		at = p.At + end + len(mark)
	}
}

func boundaryOf(contentType string) (string, error) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "multipart/form-data" {
		return "", ErrNoForm
	}
	b := params["boundary"]
	if b == "" || len(b) > 70 || strings.HasSuffix(b, " ") {
		return "", ErrNoForm
	}
	for _, c := range []byte(b) {
		if c < ' ' || c > '~' {
			return "", ErrNoForm
		}
	}
	return b, nil
}

// part reads a part's header and tells how many bytes it took, with the empty line.
func part(b []byte) (p Part, used int, err error) {
	disposition, found := "", false
	for {
		line, _, ok := bytes.Cut(b[used:min(len(b), maxHeader)], []byte("\r\n"))
		if !ok {
			return p, 0, fmt.Errorf("its header does not end within %d bytes", maxHeader)
		}
		used += len(line) + 2
		if len(line) == 0 {
			break
		}
		name, value, ok := strings.Cut(string(line), ":")
		switch {
		case !ok || strings.ContainsAny(name, " \t\r\n") || strings.ContainsAny(value, "\r\n\x00"):
			return p, 0, errors.New("its header has a line that is no header")
		case !strings.EqualFold(name, "Content-Disposition"):
			continue
		case found:
			return p, 0, errors.New("it has two Content-Dispositions")
		}
		disposition, found = strings.TrimSpace(value), true
	}
	kind, params, err := mime.ParseMediaType(disposition)
	if err != nil || kind != "form-data" || params["name"] == "" {
		return p, 0, errors.New("it has no Content-Disposition of form-data with a name")
	}
	_, p.File = params["filename"]
	p.Name = params["name"]
	return p, used, nil
}

// WithValue is body with value in place of what every field of that name has; a body
// without such a field gets one. Every other byte stays as it was.
func WithValue(contentType string, body []byte, name, value string) ([]byte, error) {
	parts, err := Parts(contentType, body)
	if err != nil {
		return nil, err
	}
	boundary, _ := boundaryOf(contentType) // Parts has read it
	if strings.Contains(value, "--"+boundary) {
		return nil, errors.New("the value has the boundary in it")
	}
	out, copied := make([]byte, 0, len(body)+len(value)+len(boundary)+128), 0
	for _, p := range parts {
		if p.Name == name {
			out = append(append(out, body[copied:p.At]...), value...)
			copied = p.At + len(p.Value)
		}
	}
	if copied == 0 {
		out = fmt.Appendf(out, "--%s\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n", boundary, name, value)
		copied = len(body) - len(bytes.TrimPrefix(body, []byte("\r\n")))
	}
	return append(out, body[copied:]...), nil
}
