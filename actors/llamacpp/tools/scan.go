package tools

import (
	"encoding/json"
	"strings"
)

// A reader reads what must come next of a text that may go on. After the first thing that is short (more must come) or
// bad (it is something else) it reads nothing.
type reader struct {
	text       string
	at         int
	short, bad bool
}

func (r *reader) space() {
	for !r.short && !r.bad && r.at < len(r.text) && strings.IndexByte(space, r.text[r.at]) >= 0 {
		r.at++
	}
}

func (r *reader) word(w string) {
	if r.short || r.bad {
		return
	}
	rest := r.text[r.at:]
	switch {
	case strings.HasPrefix(rest, w):
		r.at += len(w)
	case strings.HasPrefix(w, rest):
		r.short = true
	default:
		r.bad = true
	}
}

// is reports whether w comes next, and nothing of what does not.
func (r *reader) is(w string) bool {
	return !r.short && !r.bad && strings.HasPrefix(r.text[r.at:], w)
}

func (r *reader) quoted() (s string) {
	if r.word(`"`); r.short || r.bad {
		return ""
	}
	for i := r.at; i < len(r.text); i++ {
		switch r.text[i] {
		case '\\':
			i++
		case '"':
			r.bad = json.Unmarshal([]byte(r.text[r.at-1:i+1]), &s) != nil || s == ""
			r.at = i + 1
			return s
		}
	}
	r.short = true
	return ""
}

// A value finds the end of a JSON object, in pieces.
type value struct {
	depth           int
	quoted, escaped bool
}

// take is how many bytes of the text belong to the object, and whether it ends with them. What does not begin with a
// brace has none.
func (v *value) take(text string) (int, bool) {
	for i := range len(text) {
		c := text[i]
		switch {
		case v.escaped:
			v.escaped = false
		case v.quoted && c == '\\':
			v.escaped = true
		case c == '"' && v.depth > 0:
			v.quoted = !v.quoted
		case v.quoted:
		case c == '{' || c == '[' && v.depth > 0:
			v.depth++
		case v.depth == 0:
			return i, true
		case c == '}' || c == ']':
			if v.depth--; v.depth == 0 {
				return i + 1, true
			}
		}
	}
	return len(text), false
}
