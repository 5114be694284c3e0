package actors

import "bytes"

// usage is the tokens of one request; 0: not told.
type usage struct{ prompt, completion int }

var usageKey = []byte(`"usage"`)

// usageOf finds the usage object of an OpenAI answer near its end. It reads no
// JSON but the two numbers: what it gets wrong blurs an estimate and nothing else.
func usageOf(tail []byte) (usage, bool) {
	for end := len(tail); ; {
		at := bytes.LastIndex(tail[:end], usageKey)
		if at < 0 {
			return usage{}, false
		}
		object := bytes.TrimLeft(tail[at+len(usageKey):], " \t\r\n:")
		if bytes.HasPrefix(object, []byte("{")) {
			u := usage{prompt: numberOf(object, `"prompt_tokens"`), completion: numberOf(object, `"completion_tokens"`)}
			return u, u != usage{}
		}
		end = at
	}
}

// numberOf is the whole number after the first key in b; 0: there is none.
func numberOf(b []byte, key string) int {
	at := bytes.Index(b, []byte(key))
	if at < 0 {
		return 0
	}
	n := 0
	for _, c := range bytes.TrimLeft(b[at+len(key):], " \t\r\n:") {
		if c < '0' || c > '9' || n > 1<<30 {
			break
		}
		n = 10*n + int(c-'0')
	}
	return n
}
