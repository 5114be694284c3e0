package openai

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Usage counts tokens: what the model read, and every token that it chose, the end mark included.
type Usage struct {
	Prompt     int           `json:"prompt_tokens"`
	Completion int           `json:"completion_tokens"`
	Total      int           `json:"total_tokens"`
	Details    PromptDetails `json:"prompt_tokens_details"`
}

// PromptDetails says how much of the prompt was not read again.
type PromptDetails struct {
	Cached int `json:"cached_tokens"`
}

// An Answer writes one generation's answer, whole or in events.
type Answer struct {
	Kind    Kind
	ID      string
	Model   string
	Created int64
	// NullUsage puts "usage": null into every event but the last, as include_usage asks.
	NullUsage bool
	// Logprobs: the request asked for them.
	Logprobs bool
	offsets  map[int]int // characters of each choice's text that are written
}

// A Choice is one of the texts of an answer, or a piece of one.
type Choice struct {
	Index    int
	Text     string
	Finish   string // why it ended; empty: it has not
	Stop     string // the stop string that ended it
	Logprobs []Logprob
	TokenIDs []int32     // where asked for
	Calls    []CallDelta // in a stream: pieces of calls; in a whole answer each is a whole call
}

type choice struct {
	Index    int      `json:"index"`
	Delta    *delta   `json:"delta,omitempty"`
	Message  *message `json:"message,omitempty"`
	Text     *string  `json:"text,omitempty"`
	Logprobs any      `json:"logprobs"` // null unless asked for; some clients want the key
	Finish   *string  `json:"finish_reason"`
	Stop     string   `json:"stop_reason,omitempty"` // as vLLM calls it
	TokenIDs []int32  `json:"token_ids,omitempty"`
}

type delta struct {
	Role    string     `json:"role,omitempty"`
	Content *string    `json:"content,omitempty"`
	Calls   []callPart `json:"tool_calls,omitempty"`
}

type message struct {
	Role    string     `json:"role"`
	Content *string    `json:"content"` // null beside calls, where there is none
	Calls   []callPart `json:"tool_calls,omitempty"`
}

type envelope struct {
	ID      string          `json:"id"`
	Object  string          `json:"object"`
	Created int64           `json:"created"`
	Model   string          `json:"model"`
	Choices []choice        `json:"choices"`
	Usage   json.RawMessage `json:"usage,omitempty"`
}

// Role is the first event of each of a chat's choices; a completion's have none (nil).
func (a *Answer) Role(index int) []byte {
	if a.Kind != Chat {
		return nil
	}
	empty := ""
	return a.event(choice{Index: index, Delta: &delta{Role: "assistant", Content: &empty}})
}

// Event is a piece of a choice's text or of its calls, or its end.
func (a *Answer) Event(c Choice) []byte {
	out := a.choice(c)
	switch {
	case a.Kind != Chat:
		out.Text = &c.Text
	case len(c.Calls) > 0:
		out.Delta = &delta{Calls: callParts(c.Calls, true)}
	case c.Text != "":
		out.Delta = &delta{Content: &c.Text}
	default:
		out.Delta = &delta{}
	}
	return a.event(out)
}

// Usage is the last event where the client asked for it; it has no choices.
func (a *Answer) Usage(u Usage) []byte {
	e := a.envelope(a.streamObject(), []choice{})
	e.Usage = marshal(u)
	return marshal(e)
}

// Whole is the body of an answer that is not streamed.
func (a *Answer) Whole(choices []Choice, u Usage) []byte {
	object, out := "text_completion", make([]choice, len(choices))
	for i, c := range choices {
		out[i] = a.choice(c)
		if a.Kind != Chat {
			out[i].Text = &choices[i].Text
			continue
		}
		out[i].Message = &message{Role: "assistant", Content: &choices[i].Text, Calls: callParts(c.Calls, false)}
		if c.Text == "" && len(c.Calls) > 0 {
			out[i].Message.Content = nil
		}
	}
	if a.Kind == Chat {
		object = "chat.completion"
	}
	e := a.envelope(object, out)
	e.Usage = marshal(u)
	return marshal(e)
}

func (a *Answer) choice(c Choice) choice {
	out := choice{Index: c.Index, TokenIDs: c.TokenIDs, Stop: c.Stop}
	if c.Finish != "" {
		out.Finish = &c.Finish
	}
	if a.Logprobs && (len(c.Logprobs) > 0 || c.Finish == "") {
		out.Logprobs = a.logprobs(c)
	}
	return out
}

func (a *Answer) event(c choice) []byte {
	e := a.envelope(a.streamObject(), []choice{c})
	if a.NullUsage {
		e.Usage = json.RawMessage("null")
	}
	return marshal(e)
}

func (a *Answer) streamObject() string {
	if a.Kind == Chat {
		return "chat.completion.chunk"
	}
	return "text_completion"
}

func (a *Answer) envelope(object string, choices []choice) envelope {
	return envelope{ID: a.ID, Object: object, Created: a.Created, Model: a.Model, Choices: choices}
}

// Error gives an error's HTTP status and its body, in the gateway's own form: the
// gateway passes on as they are what engines say of a request.
func Error(err error, requestID string) (int, []byte) {
	var e *spec.Error
	if !errors.As(err, &e) {
		e = &spec.Error{Code: spec.CodeInternal, Message: "the engine failed in a way that it did not expect"}
	}
	class := e.Code.Lookup()
	kind := "api_error"
	switch {
	case class.Status == http.StatusNotFound:
		kind = "not_found_error"
	case class.Status < 500:
		kind = "invalid_request_error"
	}
	var param *string
	if e.Param != "" {
		param = &e.Param
	}
	return class.Status, marshal(map[string]any{"error": map[string]any{
		"message": sentence(e.Message), "type": kind, "param": param, "code": string(e.Code), "hint": e.Advice(), "request_id": requestID,
	}})
}

// sentence gives a message the form that the gateway's have.
func sentence(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + strings.TrimSuffix(s[size:], ".") + "."
}

// marshal cannot fail: it is given structs of strings and finite numbers only.
func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
