package mockengine

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A sender writes events and knows how many bytes may still go out.
type sender struct {
	w     http.ResponseWriter
	flush func() error
	left  int // bytes before the cut; negative: none
}

// send writes and flushes one piece; it panics at the cut, which closes the connection.
func (s *sender) send(piece string) bool {
	if s.left >= 0 {
		if len(piece) >= s.left {
			_, _ = s.w.Write([]byte(piece[:s.left]))
			_ = s.flush()
			panic(http.ErrAbortHandler)
		}
		s.left -= len(piece)
	}
	if _, err := s.w.Write([]byte(piece)); err != nil {
		return false
	}
	return s.flush() == nil
}

// stream answers token by token. Without intervals the tokens leave in one piece.
func (e *Engine) stream(w http.ResponseWriter, r *http.Request, q question, chat, hit bool) bool {
	w.Header().Set("Content-Type", "text/event-stream")
	s := &sender{w: w, flush: http.NewResponseController(w).Flush, left: -1}
	if hit && e.config.Faults.Cut > 0 {
		s.left = e.config.Faults.Cut
	}
	if !pause(r, e.slowed(e.config.FirstToken)) {
		return false
	}
	answer := e.reply(q)
	due := time.Now()
	for i, delta := range answer.deltas(chat) {
		if i > 0 && e.config.Interval > 0 {
			due = due.Add(e.slowed(e.config.Interval)) // against the clock, so that the pace does not drift
			if !pause(r, time.Until(due)) {
				return false
			}
		}
		if !s.send(chunk(chat, e.named(q), delta, "")) {
			return false
		}
		if hit && e.config.Faults.Stall {
			<-r.Context().Done()
			return false
		}
	}
	last := chunk(chat, e.named(q), "", answer.reason)
	if q.StreamOptions.IncludeUsage {
		last += fmt.Sprintf("data: {\"id\":\"mock\",\"object\":%q,\"created\":1,\"model\":%q,\"choices\":[],\"usage\":%s}\n\n", object(chat), e.named(q), usage(answer.n))
	}
	return s.send(last + "data: [DONE]\n\n")
}

// deltas are what the events of a stream add: a piece of text each, or of a call of a tool, whose
// arguments come in two halves.
func (a reply) deltas(chat bool) []string {
	var out []string
	for i, p := range a.pieces {
		word := quoted(p)
		switch {
		case chat && i == 0:
			word = `{"role":"assistant","content":` + word + `}`
		case chat:
			word = `{"content":` + word + `}`
		}
		out = append(out, word)
	}
	for i, c := range a.calls {
		half, first := len(c.Arguments)/2, ""
		if i == 0 {
			first = `"role":"assistant","content":null,`
		}
		out = append(out,
			fmt.Sprintf(`{%s"tool_calls":[{"index":%d,"id":%q,"type":"function","function":{"name":%q,"arguments":""}}]}`, first, i, c.ID, c.Name),
			fmt.Sprintf(`{"tool_calls":[{"index":%d,"function":{"arguments":%s}}]}`, i, quoted(c.Arguments[:half])),
			fmt.Sprintf(`{"tool_calls":[{"index":%d,"function":{"arguments":%s}}]}`, i, quoted(c.Arguments[half:])))
	}
	return out
}

func object(chat bool) string {
	if chat {
		return "chat.completion.chunk"
	}
	return "text_completion"
}

// chunk is one event that adds delta, which is JSON; an empty reason means that more comes.
func chunk(chat bool, model, delta, reason string) string {
	var b strings.Builder
	b.WriteString(`data: {"id":"mock","object":"`)
	b.WriteString(object(chat))
	b.WriteString(`","created":1,"model":`)
	b.WriteString(strconv.Quote(model))
	b.WriteString(`,"choices":[{"index":0,`)
	switch {
	case !chat && delta == "":
		b.WriteString(`"text":""`)
	case !chat:
		b.WriteString(`"text":` + delta)
	case delta == "":
		b.WriteString(`"delta":{}`)
	default:
		b.WriteString(`"delta":` + delta)
	}
	if reason == "" {
		b.WriteString(`,"finish_reason":null}]}` + "\n\n")
	} else {
		b.WriteString(`,"finish_reason":"` + reason + `"}]}` + "\n\n")
	}
	return b.String()
}
