package actors

import "bytes"

// usage is the tokens of one request; 0: not told.
type usage struct{ prompt, completion int }

var usageKey = []byte(`"usage"`)

// usageOf finds the usage object of an OpenAI answer near its end. It reads no
// JSON but the two numbers: what it gets wrong blurs an estimate and nothing else.
func usageOf(tail []byte) (usage, bool) {
	for end := len(tail); ; {
		at := lastKey(tail[:end])
		if at < 0 {
			return usage{}, false
		}
		object := valueOf(tail[at+len(usageKey):])
		if bytes.HasPrefix(object, []byte("{")) {
			u := usage{prompt: numberOf(object, `"prompt_tokens"`), completion: numberOf(object, `"completion_tokens"`)}
			return u, u != usage{}
		}
		end = at
	}
}

// lastKey is bytes.LastIndex of usageKey, whose letter that is the rarest in an answer's end is looked for alone: a
// hash of each place takes longer.
func lastKey(b []byte) int {
	const g, after = len(`"usa`), len(`e"`)
	for end := len(b) - after; end > g; {
		at := bytes.LastIndexByte(b[:end], 'g')
		if at < g {
			break
		}
		if bytes.HasPrefix(b[at-g:], usageKey) {
			return at - g
		}
		end = at
	}
	return -1
}

// valueOf is b without what stands between a key and its value.
func valueOf(b []byte) []byte {
	for i, c := range b {
		switch c {
		case ' ', '\t', '\r', '\n', ':':
		default:
			return b[i:]
		}
	}
	return nil
}

// numberOf is the whole number after the first key in b; 0: there is none.
func numberOf(b []byte, key string) int {
	at := bytes.Index(b, []byte(key))
	if at < 0 {
		return 0
	}
	n := 0
	for _, c := range valueOf(b[at+len(key):]) {
		if c < '0' || c > '9' || n > 1<<30 {
			break
		}
		n = 10*n + int(c-'0')
	}
	return n
}
