package openai

import (
	"errors"
	"strconv"
	"unicode/utf8"

	"github.com/valyala/fastjson"

	"github.com/lotabots/lotabots/cluster/spec"
)

var errControl = errors.New("a control character stands in a string as it is: it has to be written as an escape, a line's end as \\n")

// Parse reads body, which is to be one JSON object in UTF-8, with p, to which the object belongs. The error is an
// invalid_json one.
func Parse(p *fastjson.Parser, body []byte) (*fastjson.Object, *spec.Error) {
	plain, refused := checkText(body)
	if refused != nil {
		return nil, refused
	}
	// The parser bounds the depth, and validation does not: in this order.
	v, err := p.ParseBytes(body)
	if err == nil && !strict(body, plain) {
		err = invalid(body)
	}
	if err != nil {
		return nil, &spec.Error{Code: spec.CodeInvalidJSON, Message: "The body is not valid JSON: " + clip(err.Error(), 160) + "."}
	}
	obj, err := v.Object()
	if err != nil {
		return nil, &spec.Error{Code: spec.CodeInvalidJSON, Message: "The body is JSON, but not an object."}
	}
	return obj, nil
}

// invalid is what is wrong with text that the parser has taken and that is no JSON. Validation takes
// control characters where a string has an escape too.
func invalid(text []byte) error {
	if err := fastjson.ValidateBytes(text); err != nil {
		return err
	}
	return errControl
}

// CheckText refuses a body that has nothing in it, or is not UTF-8: what engines make of such bytes differs.
func CheckText(body []byte) *spec.Error {
	_, err := checkText(body)
	return err
}

// checkText is CheckText, which tells too whether body has no control characters.
func checkText(body []byte) (plain bool, err *spec.Error) {
	if skipSpace(body, 0) == len(body) {
		return false, &spec.Error{Code: spec.CodeInvalidJSON, Message: "The body is empty."}
	}
	ascii, plain := plainText(body)
	if ascii || utf8.Valid(body) {
		return plain, nil
	}
	at := 0
	for rest := body; len(rest) > 0; {
		c, n := utf8.DecodeRune(rest)
		if c == utf8.RuneError && n == 1 {
			break
		}
		rest, at = rest[n:], at+n
	}
	return false, &spec.Error{Code: spec.CodeInvalidJSON, Message: "The body is not UTF-8: its byte " + strconv.Itoa(at+1) + " belongs to no character.",
		Hint: "Send JSON in UTF-8."}
}
