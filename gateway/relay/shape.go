package relay

import (
	"errors"
	"net/http"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/balance"
	"github.com/lotabots/lotabots/gateway/openai"
)

// A Shape is how a client's API sees an answer that the engine gives in OpenAI's
// form. One is made for each request, and used by one goroutine at a time.
type Shape interface {
	// ContentType is that of an answer of status 200.
	ContentType(stream bool) string
	// Whole appends what the client is to see of a whole answer of status 200.
	Whole(dst, answer []byte) ([]byte, error)
	// Events appends what the client is to see of one or more whole SSE events of
	// the engine, "data: [DONE]" among them, comments too; it may append nothing.
	// It is not given events by which the engine says that it failed.
	Events(dst, events []byte) ([]byte, error)
	// Failed appends the last event of a stream that failed.
	Failed(dst []byte, e *spec.Error, requestID string) []byte
	// Ping appends what keeps a waiting stream alive.
	Ping(dst []byte) []byte
}

// whole is the engine's answer, of a status that is no error's, as the client is to see it.
func (x *Exchange) whole() ([]byte, string, error) {
	if x.shape() == nil {
		if x.Object && !isJSON(x.contentType) {
			return x.buf, jsonType, nil
		}
		return x.buf, x.contentType, nil
	}
	answer, err := x.shape().Whole(nil, x.buf)
	if err != nil {
		return nil, "", unfit(err)
	}
	return answer, x.shape().ContentType(false), nil
}

// streamType is the content type of a streamed answer. It is the client's API's, in whichever
// form the engine has the request, which is not known yet where pings go ahead.
func (x *Exchange) streamType() string {
	if x.Shape == nil {
		return eventStream
	}
	return x.Shape.ContentType(true)
}

// failed is the last event of a stream that failed.
func (x *Exchange) failed(dst []byte, e *spec.Error) []byte {
	if x.shape() == nil {
		return openai.AppendErrorEvent(dst, e, x.Call.RequestID)
	}
	return x.shape().Failed(dst, e, x.Call.RequestID)
}

func (x *Exchange) ping() []byte {
	if x.Shape == nil {
		return ping
	}
	return x.Shape.Ping(nil)
}

// shaped is what the client is to see of whole events. It is valid until the next call.
func (b *body) shaped(events []byte) ([]byte, error) {
	s := b.x.shape()
	failed := b.ended && b.fault != nil // the engine's last word is that it failed
	if s == nil && !failed || len(events) == 0 {
		return events, nil
	}
	if failed {
		events = events[:openai.LastEvent(events)]
	}
	b.shape = b.shape[:0]
	switch {
	case len(events) == 0:
	case s == nil:
		b.shape = append(b.shape, events...)
	default:
		var err error
		if b.shape, err = s.Events(b.shape, events); err != nil {
			return nil, unfit(err)
		}
	}
	if failed {
		b.shape = b.x.failed(b.shape, asPublic(b.fault))
	}
	return b.shape, nil
}

// unfit says that the engine's answer cannot be made the client's.
func unfit(err error) error {
	if public := (*spec.Error)(nil); errors.As(err, &public) {
		return err
	}
	return &spec.Error{Code: spec.CodeUpstream, Message: "The engine's answer could not be understood: " + err.Error() + ".", Err: err}
}

// misfit is the engine's error answer, or its answer that is none, as the error that it is.
func (x *Exchange) misfit() *spec.Error {
	if x.out.Status < http.StatusMultipleChoices {
		return openai.NoAnswer(x.contentType, x.buf)
	}
	method := x.Call.Method
	if method == "" {
		method = http.MethodPost
	}
	return openai.EngineError(method+" "+x.Call.Path, x.out.Status, x.buf)
}

// refusal is misfit with when to ask again, where the engine is full.
func (x *Exchange) refusal() error {
	e := x.misfit()
	if e.Code == spec.CodeBusy {
		return &balance.Refusal{RetryAfter: balance.MinRetry, Err: e}
	}
	return e
}
