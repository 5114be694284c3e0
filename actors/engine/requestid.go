package engine

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"regexp"
)

// requestID is the header by which engines are told which request of a client's they serve. Some programs refuse one that
// is no UUID: Python's starlette-context does, and llama-cpp-python's server is built on it.
const (
	requestID    = "X-Request-Id"
	ownRequestID = "X-Lotabots-Request-Id"
)

var uuidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// anyProgram gives the request's id a form that every program takes, always the same for the same id; as it is it goes
// along under our own name.
func anyProgram(h http.Header) {
	id := h.Get(requestID)
	if id == "" || uuidForm.MatchString(id) {
		return
	}
	sum := sha256.Sum256([]byte(id))
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // version 8: made in a way of one's own
	h.Set(requestID, fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16]))
	h.Set(ownRequestID, id)
}
