package llamacpp

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"

	"github.com/lotabots/lotabots/actors/llamacpp/openai"
	"github.com/lotabots/lotabots/cluster/spec"
)

// cacheSalt is the header by which the node says whose cached beginnings a request may use. It stands
// over the body's cache_salt: a client cannot choose another tenant's.
const cacheSalt = "X-LotaBots-Cache-Salt"

// generation answers a chat or a completion, whole or as a stream.
func (s *Server) generation(kind openai.Kind) handler {
	return func(w http.ResponseWriter, r *http.Request, e *Engine) error {
		body, err := readBody(w, r)
		if err != nil {
			return err
		}
		request, err := openai.ParseGeneration(kind, body)
		if err != nil {
			return err
		}
		if salt := r.Header.Get(cacheSalt); salt != "" {
			if len(salt) > openai.MaxSaltBytes {
				return &spec.Error{Code: spec.CodeInvalidRequest, Message: "the header " + cacheSalt + " is too long"}
			}
			request.Salt = salt
		}
		// ends the job however this handler ends
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		out, err := e.generate(ctx, request)
		if err != nil {
			return err
		}
		prefix := "chatcmpl-"
		if kind == openai.Completion {
			prefix = "cmpl-"
		}
		answer := &openai.Answer{
			Kind: kind, ID: prefix + rand.Text(), Model: orName(request.Model, e), Created: s.now().Unix(),
			NullUsage: request.IncludeUsage,
		}
		if request.Stream {
			return stream(ctx, w, answer, out, r.Header.Get(requestID), request.IncludeUsage)
		}
		return whole(ctx, w, answer, out)
	}
}

func whole(ctx context.Context, w http.ResponseWriter, answer *openai.Answer, out *outbox) error {
	var text strings.Builder
	for {
		events, err := out.take(ctx)
		if err != nil {
			return err
		}
		for _, e := range events {
			text.WriteString(e.text)
			if e.err != nil {
				return e.err
			}
			if e.last() {
				writeBytes(w, http.StatusOK, answer.Whole(text.String(), e.finish, e.usage))
				return nil
			}
		}
	}
}

// stream writes server-sent events. The status is not sent before the first event is there, so that a
// request that fails at once is answered with an error's status.
func stream(ctx context.Context, w http.ResponseWriter, answer *openai.Answer, out *outbox, request string, usage bool) error {
	flush := http.NewResponseController(w).Flush
	begun := false
	send := func(data []byte) {
		_, _ = w.Write(append(append([]byte("data: "), data...), "\n\n"...)) // a client that has gone ends ctx
	}
	for {
		events, gone := out.take(ctx)
		if gone != nil {
			return nil //nolint:nilerr // the client has left: nobody reads an answer
		}
		if !begun && events[0].err != nil {
			return events[0].err
		}
		if !begun {
			begun = true
			w.Header().Set("Content-Type", "text/event-stream")
			w.Header().Set("Cache-Control", "no-cache")
			if role := answer.Role(); role != nil {
				send(role)
			}
		}
		for _, e := range events {
			switch {
			case e.err != nil:
				_, body := openai.Error(e.err, request)
				send(body)
			case e.finish != "":
				send(answer.Finish(e.finish))
				if usage {
					send(answer.Usage(e.usage))
				}
				send([]byte("[DONE]"))
			default:
				send(answer.Text(e.text))
			}
			if e.last() {
				return nil
			}
		}
		if flush() != nil {
			return nil //nolint:nilerr // as above
		}
	}
}
