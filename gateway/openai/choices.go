package openai

import "bytes"

// HasChoices tells whether a whole answer of chat completions, or of completions, has a list of
// choices: without one it answers nothing.
func HasChoices(answer []byte) bool {
	return has(answer, skipSpace(answer, 0), func(key []byte, value byte) bool {
		return string(key) == "choices" && value == '['
	})
}

// IsPiece tells whether an event that is nothing but a JSON object could be one of a streamed
// answer: it has choices, if none, or its usage. Others are not looked at.
func IsPiece(event []byte) bool {
	if !bytes.HasPrefix(event, dataField) {
		return true
	}
	at := skipSpace(event, len(dataField))
	if at >= len(event) || event[at] != '{' {
		return true
	}
	return has(event, at, func(key []byte, _ byte) bool { return string(key) == "choices" || string(key) == "usage" })
}

// has tells whether is is true of one of the fields of the object at b[at].
func has(b []byte, at int, is func(key []byte, value byte) bool) bool {
	f := within(b, at, '{')
	for {
		key, ok := f.next()
		if !ok {
			return false
		}
		if is(key, b[f.at]) {
			return true
		}
		if f.skip(); f.bad {
			return false
		}
	}
}
