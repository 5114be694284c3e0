package responses

import (
	"math"

	"github.com/valyala/fastjson"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/chat"
	"github.com/lotabots/lotabots/gateway/openai"
)

// A Request is a body of POST /v1/responses as chat completions.
type Request struct {
	chat.Form
	Chat []byte // the body for the engine; nil where there are problems

	model        string
	stream       bool
	logprobs     bool
	fields       []byte // of the body, each after a comma
	talk         chat.Conversation
	input        *fastjson.Value
	instructions *fastjson.Value
	tools        *fastjson.Value
	choice       *fastjson.Value
	parallel     *fastjson.Value
	text         *fastjson.Value
	reasoning    *fastjson.Value
	told         map[string]*fastjson.Value // fields that the answer repeats as they are
	echo         []byte                     // what the answer repeats, each field before a comma
}

// repeated are the fields that an answer repeats, and what it says where they were not given.
var repeated = []struct{ name, usual string }{
	{"max_output_tokens", "null"}, {"max_tool_calls", "null"}, {"metadata", "{}"}, {"prompt_cache_key", "null"}, {"safety_identifier", "null"},
	{"temperature", "1"}, {"top_p", "1"}, {"top_logprobs", "0"}, {"user", "null"},
}

const sendHistory = "Send the conversation so far in input: nothing is stored here."

// Translate reads body. The error is an invalid_json one, or one with a hint for what
// needs a stored answer; whatever else is wrong is listed in Problems.
func Translate(body []byte) (*Request, *spec.Error) {
	q := &Request{told: map[string]*fastjson.Value{}}
	var refused *spec.Error
	err := chat.Read(body, func(key string, v *fastjson.Value) {
		if e := q.field(key, v); e != nil && refused == nil {
			refused = e
		}
	}, func() {
		q.talk.Start(append(chat.AppendString(append(make([]byte, 0, len(body)+512), `{"model":`...), q.model), `,"messages":`...))
		q.conversation()
		if !q.Has("model") {
			q.Add("model", "is missing: name the deployment that should answer")
		}
		q.toolsOf()
		q.format()
		if len(q.Problems) == 0 {
			q.write()
			q.repeat()
		}
	})
	if err == nil {
		err = refused
	}
	return q, err
}

// stored refuses what needs something that is stored.
func stored(key string) *spec.Error {
	return &spec.Error{Code: spec.CodeUnsupported, Param: key, Message: key + " needs answers that are stored, and none are.", Hint: sendHistory}
}

func (q *Request) field(key string, v *fastjson.Value) *spec.Error {
	if v.Type() == fastjson.TypeNull && key != "model" && key != "input" {
		return nil // as if it were not there
	}
	switch key {
	case "previous_response_id", "conversation", "prompt":
		return stored(key)
	case "background":
		if q.Flag(key, v) {
			return stored(key)
		}
	case "model":
		q.Once(key)
		name, _ := q.Name(key, v)
		q.model = string(name)
	case "input":
		q.Once(key)
		q.input = v
	case "instructions":
		q.Once(key)
		q.Text(key, v)
		q.instructions = v
	case "stream":
		q.Once(key)
		q.stream = q.Flag(key, v)
	case "max_output_tokens":
		q.Once(key)
		q.Whole(key, v, 1, math.MaxInt32)
		q.told[key] = v
		q.keep("max_tokens", v)
	case "temperature":
		q.number(key, v, 2)
	case "top_p":
		q.number(key, v, 1)
	default:
		q.more(key, v)
	}
	return nil
}

func (q *Request) number(key string, v *fastjson.Value, high float64) {
	q.Once(key)
	q.Number(key, v, 0, high)
	q.told[key] = v
	q.keep(key, v)
}

// more looks at the fields that are rarer.
func (q *Request) more(key string, v *fastjson.Value) {
	switch key {
	case "tools":
		q.Once(key)
		q.tools = v
	case "tool_choice":
		q.Once(key)
		q.choice = v
	case "parallel_tool_calls":
		q.Once(key)
		q.Flag(key, v)
		q.parallel = v
	case "text":
		q.Once(key)
		if q.Object(key, v) {
			q.text = v
		}
	case "reasoning":
		q.Once(key)
		q.effort(v)
	case "top_logprobs":
		q.Once(key)
		q.Whole(key, v, 0, 20)
		q.told[key] = v
	case "include":
		q.Once(key)
		for _, what := range q.List(key, v) {
			q.logprobs = q.logprobs || string(what.GetStringBytes()) == "message.output_text.logprobs"
		}
	case "metadata":
		q.Once(key)
		if q.Object(key, v) {
			q.told[key] = v
		}
	case "user", "safety_identifier", "prompt_cache_key":
		q.Once(key)
		q.Text(key, v)
		q.told[key] = v
		if key == "user" {
			q.keep(key, v)
		}
	case "max_tool_calls":
		q.told[key] = v
	case "store", "truncation", "service_tier", "stream_options", "prompt_cache_retention", "prompt_cache_options", "context_management",
		"moderation", "background_options", "access_programs", "image":
		// None of these changes what the answer says.
	case "messages", "max_tokens", "max_completion_tokens", "functions", "function_call", "response_format", "logprobs", "reasoning_effort":
		q.Add(key, "is not a field of this API")
	case "n":
		q.Whole(key, v, 1, 1)
	default:
		q.Problems = openai.Hold(q.Problems, key, v)
		q.keep(key, v)
	}
}

// keep passes a field on.
func (q *Request) keep(key string, v *fastjson.Value) {
	q.fields = append(chat.AppendString(append(q.fields, ','), key), ':')
	q.fields = chat.AppendValue(q.fields, v)
}

func (q *Request) effort(v *fastjson.Value) {
	if !q.Object("reasoning", v) {
		return
	}
	q.reasoning = v
	if e := v.Get("effort"); e != nil && e.Type() != fastjson.TypeNull {
		if _, ok := q.Name("reasoning.effort", e); ok {
			q.keep("reasoning_effort", e)
		}
	}
}

// format translates what form the text has to have.
func (q *Request) format() {
	if v := q.text.Get("verbosity"); v != nil && v.Type() != fastjson.TypeNull {
		q.keep("verbosity", v)
	}
	f := q.text.Get("format")
	if f == nil || f.Type() == fastjson.TypeNull || !q.Object("text.format", f) {
		return
	}
	switch string(f.GetStringBytes("type")) {
	case "text":
	case "json_object":
		q.fields = append(q.fields, `,"response_format":{"type":"json_object"}`...)
	case "json_schema":
		name, _ := q.Name("text.format.name", f.Get("name"))
		schema := f.Get("schema")
		if !q.Object("text.format.schema", schema) {
			return
		}
		q.fields = chat.AppendString(append(q.fields, `,"response_format":{"type":"json_schema","json_schema":{"name":`...), name)
		for _, key := range []string{"description", "strict"} {
			if v := f.Get(key); v != nil {
				q.fields = append(append(append(q.fields, `,"`...), key...), `":`...)
				q.fields = chat.AppendValue(q.fields, v)
			}
		}
		q.fields = append(chat.AppendValue(append(q.fields, `,"schema":`...), schema), "}}"...)
	default:
		q.Add("text.format.type", "must be text, json_object or json_schema")
	}
}

// write makes the body for the engine.
func (q *Request) write() {
	b := append(q.talk.End(), q.fields...)
	if n := q.told["top_logprobs"]; n.GetInt() > 0 || q.logprobs {
		q.logprobs = true
		b = append(b, `,"logprobs":true`...)
		if n != nil {
			b = chat.AppendValue(append(b, `,"top_logprobs":`...), n)
		}
	}
	if q.stream {
		b = append(b, `,"stream":true,"stream_options":{"include_usage":true}`...)
	}
	q.Chat = append(b, '}')
}
