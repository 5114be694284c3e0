package openai

import (
	"bytes"
	"strconv"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Bounds of a body's form. Text is bounded by its length alone; what has to be read
// value by value takes many times its length in memory.
const (
	MaxDepth  = 300
	MaxValues = 1_000_000
	// boundsFrom is the size of body from which they are looked at before anything else.
	boundsFrom = 64 << 10
)

// Bounded refuses a body that is deeper, or has more values, than anybody needs. It
// takes no memory and looks at each byte at most once; that the body is JSON is not
// checked.
func Bounded(body []byte) error {
	if len(body) < boundsFrom {
		return nil // its parser bounds the depth, and its length the rest
	}
	depth, values := 0, 1
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '"':
			i = closing(body, i)
		case '[', '{':
			if depth++; depth > MaxDepth {
				return &spec.Error{Code: spec.CodeInvalidJSON, Message: "The body is nested more than " + strconv.Itoa(MaxDepth) + " deep."}
			}
			values++
		case ']', '}':
			depth--
		case ',':
			values++
		}
		if values > MaxValues {
			return &spec.Error{Code: spec.CodeInvalidRequest, Message: "The body has more than " + strconv.Itoa(MaxValues) + " values.",
				Hint: "Send smaller batches."}
		}
	}
	return nil
}

// closing is where the string that begins at i ends, or the body where it does not.
func closing(body []byte, i int) int {
	for i++; i < len(body); i++ {
		next := bytes.IndexByte(body[i:], '"')
		if next < 0 {
			return len(body)
		}
		escapes := 0
		for j := i + next - 1; j >= i && body[j] == '\\'; j-- {
			escapes++
		}
		i += next
		if escapes%2 == 0 {
			return i
		}
	}
	return len(body)
}
