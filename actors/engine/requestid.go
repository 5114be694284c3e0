package engine

import (
	"crypto/sha256"
	"encoding/hex"
)

// requestID is the header by which engines are told which request of a client's they serve. Some programs refuse one that
// is no UUID: Python's starlette-context does, and llama-cpp-python's server is built on it.
const (
	requestID    = "X-Request-Id"
	ownRequestID = "X-Lotabots-Request-Id"
)

// anyProgram gives the request's id in a form that every program takes, always the same for the same id; as it is it goes
// along under our own name.
func anyProgram(id string, set func(name, value string)) {
	switch {
	case id == "":
		return
	case isUUID(id):
		set(requestID, id)
		return
	}
	sum := sha256.Sum256([]byte(id))
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // version 8: made in a way of one's own
	var text [36]byte
	at := 0
	for i, b := range sum[:16] {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			text[at] = '-'
			at++
		}
		hex.Encode(text[at:at+2], []byte{b})
		at += 2
	}
	set(requestID, string(text[:]))
	set(ownRequestID, id)
}

func isUUID(id string) bool {
	if len(id) != 36 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
		default:
			return false
		}
	}
	return true
}
