package instance

import "bytes"

var (
	beforeMost = []byte(`"max`)
	mostKeys   = [...][]byte{[]byte(`tokens"`), []byte(`completion_tokens"`)}
)

// mostTokens is what a JSON text says of its answer's length, after the first such key: a guess that costs little, of
// which only patience hangs. It looks for what few texts have: a quote stands everywhere in one.
func mostTokens(b []byte) (most int) {
	var seen [len(mostKeys)]bool
	for at := 0; ; {
		n := bytes.IndexByte(b[at:], '_')
		if n < 0 {
			return most
		}
		before := b[:at+n]
		at += n + 1
		if !bytes.HasSuffix(before, beforeMost) {
			continue
		}
		for i, key := range mostKeys {
			if !seen[i] && bytes.HasPrefix(b[at:], key) {
				seen[i] = true
				most = max(most, number(valueAt(b[at+len(key):])))
			}
		}
	}
}

func number(b []byte) int {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' || n > 1<<24 {
			break
		}
		n = 10*n + int(c-'0')
	}
	return n
}

// valueAt is what follows a key. Inside of a string the quotes would be escaped.
func valueAt(b []byte) []byte { return bytes.TrimLeft(b, " \t\r\n:") }
