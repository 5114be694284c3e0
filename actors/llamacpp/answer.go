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
		out, err := e.generate(ctx, request, r.Header.Get(adapterName))
		if err != nil {
			return err
		}
		prefix := "chatcmpl-"
		if kind == openai.Completion {
			prefix = "cmpl-"
		}
		answer := &openai.Answer{
			Kind: kind, ID: prefix + rand.Text(), Model: orName(request.Model, e), Created: s.now().Unix(),
			NullUsage: request.IncludeUsage, Logprobs: request.Logprobs,
		}
		if request.Stream {
			return stream(ctx, w, answer, &merge{outbox: out, left: request.N}, r.Header.Get(requestID), request.IncludeUsage)
		}
		return whole(ctx, w, answer, &merge{outbox: out, left: request.N}, request.N)
	}
}

// A merge follows several answers in one outbox.
type merge struct {
	*outbox
	left  int // that have not ended
	usage openai.Usage
}

// ended reports whether the event ended the last answer. The prompt counts once.
func (m *merge) ended(e event) bool {
	if !e.last() {
		return false
	}
	m.left--
	if m.usage.Prompt == 0 || e.index == 0 {
		m.usage.Prompt, m.usage.Details = e.usage.Prompt, e.usage.Details
	}
	m.usage.Completion += e.usage.Completion
	m.usage.Total = m.usage.Prompt + m.usage.Completion
	return e.err != nil || m.left == 0
}

func whole(ctx context.Context, w http.ResponseWriter, answer *openai.Answer, out *merge, n int) error {
	texts, choices := make([]strings.Builder, n), make([]openai.Choice, n)
	for {
		events, err := out.take(ctx)
		if err != nil {
			return err
		}
		for _, e := range events {
			if e.err != nil {
				return e.err
			}
			c := &choices[e.index]
			texts[e.index].WriteString(e.text)
			for _, d := range e.calls {
				c.Calls = openai.AddCall(c.Calls, d)
			}
			c.Index, c.Finish, c.Stop, c.Logprobs = e.index, e.finish, e.stop, append(c.Logprobs, e.scores...)
			c.TokenIDs = append(c.TokenIDs, e.ids...)
			if !out.ended(e) {
				continue
			}
			for i := range choices {
				choices[i].Text = texts[i].String()
			}
			writeBytes(w, http.StatusOK, answer.Whole(choices, out.usage))
			return nil
		}
	}
}

// stream writes server-sent events. The status is not sent before the first event is there, so that a
// request that fails at once is answered with an error's status.
func stream(ctx context.Context, w http.ResponseWriter, answer *openai.Answer, out *merge, request string, usage bool) error {
	flush := http.NewResponseController(w).Flush
	begun := false
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
			for i := range out.left {
				if role := answer.Role(i); role != nil {
					sendEvent(w, role)
				}
			}
		}
		for _, e := range events {
			if e.err != nil {
				_, body := openai.Error(e.err, request)
				sendEvent(w, body)
				return nil //nolint:nilerr // it has been told
			}
			sendEvent(w, answer.Event(openai.Choice{Index: e.index, Text: e.text, Finish: e.finish, Stop: e.stop, Logprobs: e.scores, Calls: e.calls, TokenIDs: e.ids}))
			if !out.ended(e) {
				continue
			}
			if usage {
				sendEvent(w, answer.Usage(out.usage))
			}
			sendEvent(w, []byte("[DONE]"))
			return nil
		}
		if flush() != nil {
			return nil //nolint:nilerr // as above
		}
	}
}

// sendEvent leaves a failed write alone: a client that has gone ends the request's context.
func sendEvent(w http.ResponseWriter, data []byte) {
	_, _ = w.Write(append(append([]byte("data: "), data...), "\n\n"...))
}
