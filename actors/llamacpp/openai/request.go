package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Kind says which endpoint a generation came through.
type Kind uint8

// The two kinds of generation.
const (
	Chat Kind = iota
	Completion
)

// A Message is one turn of a chat, its parts joined.
type Message struct {
	Role    string
	Content string
	Calls   []Call // that the assistant has made
	CallID  string // of a tool's message: which call it answers
}

// A Generation is a checked request for text.
type Generation struct {
	Kind         Kind
	Model        string
	Messages     []Message // of a chat
	Prompt       string    // of a completion, if Tokens is nil
	Tokens       []int32   // of a completion given as tokens
	Stream       bool
	IncludeUsage bool
	MaxTokens    int // 0: as many as the context holds
	Sampling     Sampling
	Stop         []string
	Salt         string // whose cached beginnings may be used
	Answer       bool   // of a chat: the beginning of an answer follows the messages
	Continue     bool   // of a chat: the last message, an assistant's, is continued
	N            int    // answers
	Grammar      string // in GBNF, which the answer must keep to; empty: none
	Logprobs     bool
	TopLogprobs  int           // alternatives to each token
	TokenIDs     bool          // each piece of the answer is to tell its tokens
	Begun        *Continuation // nil: the answer begins
	Tools        []Tool
	ToolChoice   ToolChoice
	// Schema is what Grammar was made of: a JSON schema, or "object"; empty: there is no Grammar.
	Schema json.RawMessage
}

// A Continuation is an answer that was begun elsewhere.
type Continuation struct {
	Tokens []int32 `json:"token_ids"`
	Events int     `json:"events"` // of a stream that the client has, without that of the role
}

// Sampling is how the next token is chosen.
type Sampling struct {
	Temperature      float32 // 0: always the likeliest
	TopP             float32
	TopK             int32 // 0: all
	MinP             float32
	FrequencyPenalty float32
	PresencePenalty  float32
	Seed             *uint32 // nil: a random one
	Bias             []Bias
}

// A Bias is added to the logit of a token.
type Bias struct {
	Token int32
	Bias  float32
}

// Bounds of what one request may hold.
const (
	MaxStops       = 16
	MaxStopBytes   = 512
	MaxMessages    = 4096
	MaxEmbedInputs = 2048
	MaxSaltBytes   = 256
	MaxAnswers     = 16
	MaxTopLogprobs = 20
	MaxBias        = 1024
)

type generationBody struct {
	Model               string          `json:"model"`
	Messages            json.RawMessage `json:"messages"`
	Prompt              json.RawMessage `json:"prompt"`
	Stream              *bool           `json:"stream"`
	StreamOptions       *streamOptions  `json:"stream_options"`
	MaxTokens           *int            `json:"max_tokens"`
	MaxCompletionTokens *int            `json:"max_completion_tokens"`
	Temperature         *float64        `json:"temperature"`
	TopP                *float64        `json:"top_p"`
	TopK                *int            `json:"top_k"`
	MinP                *float64        `json:"min_p"`
	FrequencyPenalty    *float64        `json:"frequency_penalty"`
	PresencePenalty     *float64        `json:"presence_penalty"`
	Seed                *int64          `json:"seed"`
	Stop                json.RawMessage `json:"stop"`
	CacheSalt           *string         `json:"cache_salt"`
	AddPrompt           *bool           `json:"add_generation_prompt"`
	Continue            *bool           `json:"continue_final_message"`
	N                   *int            `json:"n"`
	Logprobs            json.RawMessage `json:"logprobs"`
	TopLogprobs         *int            `json:"top_logprobs"`
	LogitBias           json.RawMessage `json:"logit_bias"`
	ResponseFormat      json.RawMessage `json:"response_format"`
	TokenIDs            *bool           `json:"return_token_ids"`
	Begun               *Continuation   `json:"continuation"`
	toolFields
	unsupported
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

// ParseGeneration reads and checks the body of a chat or completion request.
func ParseGeneration(kind Kind, body []byte) (*Generation, error) {
	var b generationBody
	if err := decode(body, &b); err != nil {
		return nil, err
	}
	if err := b.unsupported.check(); err != nil {
		return nil, err
	}
	g := &Generation{Kind: kind, Model: b.Model, Stream: b.Stream != nil && *b.Stream}
	g.IncludeUsage = b.StreamOptions != nil && b.StreamOptions.IncludeUsage
	if b.StreamOptions != nil && !g.Stream {
		return nil, invalid("stream_options", "stream_options needs stream: true")
	}
	var err error
	if b.CacheSalt != nil {
		if g.Salt = *b.CacheSalt; len(g.Salt) > MaxSaltBytes {
			return nil, invalid("cache_salt", "cache_salt has %d bytes; at most %d", len(g.Salt), MaxSaltBytes)
		}
	}
	if kind == Chat {
		if g.Messages, err = parseMessages(b.Messages); err == nil {
			err = g.ending(b.AddPrompt, b.Continue)
		}
	} else {
		g.Prompt, g.Tokens, err = parsePrompt(b.Prompt)
	}
	if err != nil {
		return nil, err
	}
	if g.MaxTokens, err = maxTokens(kind, b.MaxTokens, b.MaxCompletionTokens); err != nil {
		return nil, err
	}
	if g.Sampling, err = b.sampling(); err != nil {
		return nil, err
	}
	if g.Stop, err = parseStop(b.Stop); err != nil {
		return nil, err
	}
	if err = b.toolFields.parse(g); err != nil {
		return nil, err
	}
	if err = g.output(&b); err != nil {
		return nil, err
	}
	g.TokenIDs = b.TokenIDs != nil && *b.TokenIDs
	g.Begun = b.Begun
	return g, g.begun()
}

// begun checks what is to be gone on with.
func (g *Generation) begun() error {
	switch {
	case g.Begun == nil:
		return nil
	case g.Begun.Events < 0:
		return invalid("continuation.events", "continuation.events must not be negative")
	case !g.Stream:
		return invalid("continuation", "continuation needs stream: true")
	case g.N > 1:
		return refuse("continuation", "one answer can be continued, not several")
	case g.Logprobs && len(g.Tools) > 0:
		return refuse("continuation", "an answer with logprobs that may call tools is not continued")
	}
	return nil
}

// ending reads how the messages end: vLLM's fields, by its rules.
func (g *Generation) ending(add, more *bool) error {
	g.Continue = more != nil && *more
	g.Answer = add == nil || *add
	if !g.Continue {
		return nil
	}
	if add != nil && *add {
		return invalid("continue_final_message", "continue_final_message and add_generation_prompt exclude each other")
	}
	if last := g.Messages[len(g.Messages)-1]; last.Role != "assistant" || len(g.Messages) < 2 {
		return invalid("continue_final_message", "continue_final_message needs a last message of the assistant, and another before it")
	}
	g.Answer = true // the message's own beginning
	return nil
}

// maxTokens gives the newer name precedence; a completion without either has OpenAI's 16.
func maxTokens(kind Kind, old, newer *int) (int, error) {
	name, n := "max_completion_tokens", newer
	if n == nil {
		name, n = "max_tokens", old
	}
	switch {
	case n != nil && *n < 1:
		return 0, invalid(name, "%s is %d; it must be at least 1", name, *n)
	case n != nil:
		return *n, nil
	case kind == Completion:
		return 16, nil
	}
	return 0, nil
}

func (b *generationBody) sampling() (Sampling, error) {
	s := Sampling{Temperature: 1, TopP: 1}
	for _, f := range []struct {
		name     string
		in       *float64
		low, top float64
		out      *float32
	}{
		{"temperature", b.Temperature, 0, 2, &s.Temperature},
		{"top_p", b.TopP, 0, 1, &s.TopP},
		{"min_p", b.MinP, 0, 1, &s.MinP},
		{"frequency_penalty", b.FrequencyPenalty, -2, 2, &s.FrequencyPenalty},
		{"presence_penalty", b.PresencePenalty, -2, 2, &s.PresencePenalty},
	} {
		if f.in == nil {
			continue
		}
		if *f.in < f.low || *f.in > f.top {
			return s, invalid(f.name, "%s is %g; it must lie between %g and %g", f.name, *f.in, f.low, f.top)
		}
		*f.out = float32(*f.in)
	}
	if b.TopK != nil {
		if *b.TopK < -1 || *b.TopK > 1<<30 {
			return s, invalid("top_k", "top_k is %d; it must be 0 or -1 (all), or a positive number", *b.TopK)
		}
		s.TopK = int32(max(*b.TopK, 0))
	}
	if b.Seed != nil {
		seed := uint32(*b.Seed) ^ uint32(uint64(*b.Seed)>>32) // every seed is taken; equal ones stay equal
		s.Seed = &seed
	}
	return s, nil
}

// decode reads exactly one JSON object.
func decode(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(into); err != nil {
		var wrong *json.UnmarshalTypeError
		switch {
		case !errors.As(err, &wrong):
		case wrong.Field == "":
			return spec.Errorf(spec.CodeInvalidJSON, "the body is not a JSON object")
		default:
			param := clientPath(reflect.TypeOf(into).Elem(), wrong.Field)
			return invalid(param, "%s must not be a JSON %s", param, wrong.Value)
		}
		return &spec.Error{Code: spec.CodeInvalidJSON, Message: "the body is not one JSON object: " + err.Error()}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return spec.Errorf(spec.CodeInvalidJSON, "something follows the JSON object")
	}
	if !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) {
		return spec.Errorf(spec.CodeInvalidJSON, "the body is not a JSON object")
	}
	return nil
}

// clientPath is a path of encoding/json without the structs that are embedded in t, which no client knows.
func clientPath(t reflect.Type, path string) string {
	for t.Kind() == reflect.Struct {
		first, rest, more := strings.Cut(path, ".")
		field, ok := t.FieldByName(first)
		if !more || !ok || !field.Anonymous {
			break
		}
		t, path = field.Type, rest
	}
	return path
}

func invalid(param, format string, args ...any) error {
	return &spec.Error{Code: spec.CodeInvalidRequest, Param: param, Message: fmt.Sprintf(format, args...)}
}

// noNUL refuses what the engine's C strings cannot carry.
func noNUL(param, text string) error {
	if strings.IndexByte(text, 0) >= 0 {
		return invalid(param, "%s holds a NUL character", param)
	}
	return nil
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }
