package mockengine

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// A question is what the mock reads of a request.
type question struct {
	Model         string            `json:"model"`
	Stream        bool              `json:"stream"`
	MaxTokens     int               `json:"max_tokens"`
	MaxCompletion int               `json:"max_completion_tokens"`
	Input         json.RawMessage   `json:"input"`
	Documents     []json.RawMessage `json:"documents"`
	TopN          int               `json:"top_n"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	Messages          []message       `json:"messages"`
	Tools             []tool          `json:"tools"`
	ToolChoice        json.RawMessage `json:"tool_choice"`
	ParallelToolCalls *bool           `json:"parallel_tool_calls"`
	ResponseFormat    format          `json:"response_format"`
}

// tokens is how many the answer has, and whether the request's limit ended it.
func (q question) tokens(most int) (n int, reason string) {
	for _, limit := range []int{q.MaxTokens, q.MaxCompletion} {
		if limit > 0 && limit < most {
			return limit, "length"
		}
	}
	return most, "stop"
}

func read(w http.ResponseWriter, r *http.Request) (question, bool) {
	var q question
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<20))
	if err == nil {
		err = json.Unmarshal(raw, &q)
	}
	if err != nil {
		fail(w, http.StatusBadRequest, "not a request: "+err.Error())
		return q, false
	}
	return q, true
}

// generate answers chat and completions. It reports whether the answer got to its end.
func (e *Engine) generate(w http.ResponseWriter, r *http.Request, hit bool) bool {
	q, ok := read(w, r)
	if !ok {
		return true
	}
	chat := strings.HasSuffix(r.URL.Path, "/chat/completions")
	if q.Stream {
		return e.stream(w, r, q, chat, hit)
	}
	answer := e.reply(q)
	if !pause(r, e.slowed(e.config.FirstToken+time.Duration(answer.n-1)*e.config.Interval)) {
		return false
	}
	body := whole(chat, e.named(q), answer)
	if hit && e.config.Faults.Cut > 0 {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		_, _ = io.WriteString(w, body[:min(len(body), e.config.Faults.Cut)])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	if hit && e.config.Faults.Stall {
		<-r.Context().Done()
		return false
	}
	w.Header().Set("Content-Type", "application/json")
	_, err := io.WriteString(w, body)
	return err == nil
}

func (e *Engine) named(q question) string {
	if q.Model != "" {
		return q.Model
	}
	return e.config.Model
}

func usage(n int) string {
	return fmt.Sprintf(`{"prompt_tokens":8,"completion_tokens":%d,"total_tokens":%d}`, n, n+8)
}

func whole(chat bool, model string, a reply) string {
	content := quoted(strings.Join(a.pieces, ""))
	if !chat {
		return fmt.Sprintf(`{"id":"mock","object":"text_completion","created":1,"model":%q,"choices":[{"index":0,"text":%s,"finish_reason":%q}],"usage":%s}`, model, content, a.reason, usage(a.n))
	}
	if len(a.calls) > 0 {
		calls := make([]string, len(a.calls))
		for i, c := range a.calls {
			calls[i] = fmt.Sprintf(`{"id":%q,"type":"function","function":{"name":%q,"arguments":%s}}`, c.ID, c.Name, quoted(c.Arguments))
		}
		content = `null,"tool_calls":[` + strings.Join(calls, ",") + `]`
	}
	return fmt.Sprintf(`{"id":"mock","object":"chat.completion","created":1,"model":%q,"choices":[{"index":0,"message":{"role":"assistant","content":%s},"finish_reason":%q}],"usage":%s}`, model, content, a.reason, usage(a.n))
}

// quoted is s as JSON.
func quoted(s string) string {
	raw, _ := json.Marshal(s) // no string fails
	return string(raw)
}

// embed answers vectors that depend on the input's length alone.
func (e *Engine) embed(w http.ResponseWriter, r *http.Request, _ bool) bool {
	q, ok := read(w, r)
	if !ok {
		return true
	}
	count := 1
	var list []json.RawMessage
	if json.Unmarshal(q.Input, &list) == nil {
		count = len(list)
	}
	rows := make([]string, count)
	for i := range rows {
		rows[i] = fmt.Sprintf(`{"object":"embedding","index":%d,"embedding":[%d,0.5,-0.25,1]}`, i, len(q.Input))
	}
	w.Header().Set("Content-Type", "application/json")
	_, err := fmt.Fprintf(w, `{"object":"list","model":%q,"data":[%s],"usage":{"prompt_tokens":%d,"total_tokens":%d}}`, e.named(q), strings.Join(rows, ","), count, count)
	return err == nil
}

// rerank keeps the documents' order, each half as relevant as the one before.
func (e *Engine) rerank(w http.ResponseWriter, r *http.Request, _ bool) bool {
	q, ok := read(w, r)
	if !ok {
		return true
	}
	rows, score := make([]string, len(q.Documents)), 1.0
	for i := range rows {
		rows[i] = fmt.Sprintf(`{"index":%d,"relevance_score":%g}`, i, score)
		score /= 2
	}
	if q.TopN > 0 {
		rows = rows[:min(q.TopN, len(rows))]
	}
	w.Header().Set("Content-Type", "application/json")
	_, err := fmt.Fprintf(w, `{"object":"list","model":%q,"results":[%s],"usage":{"prompt_tokens":%d,"total_tokens":%d}}`, e.named(q), strings.Join(rows, ","), len(q.Documents), len(q.Documents))
	return err == nil
}

func (e *Engine) models(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"object":"list","data":[{"id":%q,"object":"model","created":1,"owned_by":"mock engine"}]}`, e.config.Model)
}

func (e *Engine) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"status":"ok","engine":"mock"}`)
}

// listSeen answers what was seen of one request id (?id=), or of all.
func (e *Engine) listSeen(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if id := r.URL.Query().Get("id"); id != "" {
		_ = json.NewEncoder(w).Encode(e.Seen(id))
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	_ = json.NewEncoder(w).Encode(e.mu.seen)
}

func fail(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{"message":%q,"type":"mock_engine","code":null}}`, message)
}

// pause waits d and reports whether the client is still there.
func pause(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return r.Context().Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}
