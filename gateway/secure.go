package gateway

import (
	"crypto/tls"
	"errors"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/openai"
)

// A secure connection tells a client that speaks plain HTTP that it must not.
type secure struct {
	*tls.Conn
	one *conn
}

// Handshake shakes hands; the server calls it first of all.
func (s *secure) Handshake() error {
	err := s.Conn.Handshake()
	var other tls.RecordHeaderError
	if errors.As(err, &other) && other.Conn != nil && looksPlain(other.RecordHeader) {
		_ = s.one.SetWriteDeadline(time.Now().Add(lingerTime))
		_, _ = s.one.Write(refusal(fasthttp.StatusBadRequest, &spec.Error{Code: spec.CodeInvalidRequest,
			Message: "This is an HTTPS port, and the request was sent in plain HTTP.", Hint: "Use a URL that begins with https://."}))
		s.one.linger.Store(true)
	}
	return err
}

// Close implements net.Conn.
func (s *secure) Close() error {
	if s.one.spared() {
		return nil
	}
	return s.Conn.Close()
}

// looksPlain tells whether the first bytes of a connection begin an HTTP request: a method
// in capitals, and what may follow it.
func looksPlain(first [5]byte) bool {
	for i, b := range first {
		switch {
		case b >= 'A' && b <= 'Z':
		case (b == ' ' || b == '/') && i >= 3:
		default:
			return false
		}
	}
	return true
}

// refusal is a whole answer, for a connection that the server does not serve.
func refusal(status int, e *spec.Error) []byte {
	var res fasthttp.Response
	id := newRequestID()
	res.SetStatusCode(status)
	res.Header.SetContentType("application/json")
	res.Header.Set(HeaderRequestID, id)
	res.SetConnectionClose()
	if status == fasthttp.StatusServiceUnavailable {
		res.Header.Set(fasthttp.HeaderRetryAfter, "1")
	}
	body := openai.AppendError(nil, e, id, nil)
	res.Header.SetContentLength(len(body))
	return append(append([]byte(nil), res.Header.Header()...), body...)
}
