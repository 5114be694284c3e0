package session

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Lengths in bytes, of what is kept of a client's own words.
const (
	maxFrom  = 64
	maxAgent = 256
	maxName  = 256
)

// asSpec makes sure that an error has a code for whoever reads it.
func asSpec(err error) error {
	var e *spec.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	return &spec.Error{Code: spec.CodeNoLeader, Message: "The cluster did not agree in time.", Err: err}
}

func sentence(text string) string {
	if text == "" {
		return "The cluster refused it."
	}
	return strings.ToUpper(text[:1]) + strings.TrimSuffix(text[1:], ".") + "."
}

func invalid(param, message string) error {
	return &spec.Error{Code: spec.CodeInvalidRequest, Param: param, Message: message}
}

// plainly is the text on one line, as UTF-8 of at most limit bytes.
func plainly(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}
