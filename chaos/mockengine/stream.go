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
	if !pause(r, e.config.FirstToken) {
		return false
	}
	n, reason := q.tokens(e.config.Tokens)
	due := time.Now()
	for i := range n {
		if i > 0 && e.config.Interval > 0 {
			due = due.Add(e.config.Interval) // against the clock, so that the pace does not drift
			if !pause(r, time.Until(due)) {
				return false
			}
		}
		if !s.send(chunk(chat, e.named(q), " t"+strconv.Itoa(i), "")) {
			return false
		}
		if hit && e.config.Faults.Stall {
			<-r.Context().Done()
			return false
		}
	}
	last := chunk(chat, e.named(q), "", reason)
	if q.StreamOptions.IncludeUsage {
		last += fmt.Sprintf("data: {\"id\":\"mock\",\"object\":%q,\"created\":1,\"model\":%q,\"choices\":[],\"usage\":%s}\n\n", object(chat), e.named(q), usage(n))
	}
	return s.send(last + "data: [DONE]\n\n")
}

func object(chat bool) string {
	if chat {
		return "chat.completion.chunk"
	}
	return "text_completion"
}

// chunk is one event; an empty reason means that more comes.
func chunk(chat bool, model, content, reason string) string {
	var b strings.Builder
	b.WriteString(`data: {"id":"mock","object":"`)
	b.WriteString(object(chat))
	b.WriteString(`","created":1,"model":`)
	b.WriteString(strconv.Quote(model))
	b.WriteString(`,"choices":[{"index":0,`)
	switch {
	case !chat:
		b.WriteString(`"text":` + strconv.Quote(content))
	case content == "":
		b.WriteString(`"delta":{}`)
	default:
		b.WriteString(`"delta":{"content":` + strconv.Quote(content) + `}`)
	}
	if reason == "" {
		b.WriteString(`,"finish_reason":null}]}` + "\n\n")
	} else {
		b.WriteString(`,"finish_reason":"` + reason + `"}]}` + "\n\n")
	}
	return b.String()
}
