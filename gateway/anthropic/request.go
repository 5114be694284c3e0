package anthropic

import (
	"math"

	"github.com/valyala/fastjson"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/chat"
	"github.com/lotabots/lotabots/gateway/openai"
)

// A Request is a body of POST /v1/messages, or of count_tokens, as chat completions.
type Request struct {
	chat.Form
	Chat []byte // the body for the engine; nil where there are problems

	model   string
	stops   []string
	stream  bool
	show    bool // what the model thinks is told
	omit    bool // and its text left out
	single  bool // one call of a tool at most
	kwargs  bool // the client sets the template's arguments itself
	asked   bool // there is a message of the user's
	tools   int
	fields  []byte // of the body, each after a comma
	talk    chat.Conversation
	prompt  *fastjson.Value   // of the system
	pending []*fastjson.Value // messages
	choice  *fastjson.Value   // of tools
	effort  []byte
	think   thinking
}

type thinking uint8

const (
	asUsual thinking = iota
	thinks
	thinksNot
)

// Translate reads body and fills q. The error is an invalid_json one; whatever else is
// wrong is listed in q.Problems, by the names that the client knows.
func Translate(body []byte) (*Request, *spec.Error) { return translate(body, true) }

// TranslateCount is Translate for a body of count_tokens, which needs no max_tokens.
func TranslateCount(body []byte) (*Request, *spec.Error) { return translate(body, false) }

func translate(body []byte, answers bool) (*Request, *spec.Error) {
	q := &Request{}
	err := chat.Read(body, q.field, func() {
		q.talk.Start(append(chat.AppendString(append(make([]byte, 0, len(body)+512), `{"model":`...), q.model), `,"messages":`...))
		q.conversation()
		q.required(answers)
		if len(q.Problems) == 0 {
			q.write(answers)
		}
	})
	return q, err
}

func (q *Request) required(answers bool) {
	if !q.Has("model") {
		q.Add("model", "is missing: name the deployment that should answer")
	}
	if answers && !q.Has("max_tokens") {
		q.Add("max_tokens", "is missing: say how many tokens the answer may have")
	}
	switch {
	case !q.Has("messages"):
		q.Add("messages", "is missing: send at least one message")
	case len(q.Problems) == 0 && !q.asked:
		q.Add("messages", "must hold a message of the user")
	}
	if kind := string(q.choice.GetStringBytes("type")); q.tools == 0 && (kind == "any" || kind == "tool") {
		q.Add("tool_choice", "needs tools")
	}
}

// field looks at one of the body's fields.
func (q *Request) field(key string, v *fastjson.Value) {
	if v.Type() == fastjson.TypeNull && key != "model" && key != "messages" && key != "max_tokens" {
		return // as if it were not there
	}
	switch key {
	case "model":
		q.Once(key)
		name, _ := q.Name(key, v)
		q.model = string(name)
	case "messages":
		q.Once(key)
		q.pending = q.List(key, v)
		if v.Type() == fastjson.TypeNull || (v.Type() == fastjson.TypeArray && len(q.pending) == 0) {
			q.Add(key, "must be an array of at least one message")
		}
	case "system":
		q.Once(key)
		q.prompt = v
	case "max_tokens":
		q.Once(key)
		q.Whole(key, v, 1, math.MaxInt32)
		q.keep(key, v)
	case "stream":
		q.Once(key)
		q.stream = q.Flag(key, v)
	case "stop_sequences":
		q.Once(key)
		q.stopAt(v)
	case "temperature":
		q.Once(key)
		q.Number(key, v, 0, 2)
		q.keep(key, v)
	case "top_p":
		q.Once(key)
		q.Number(key, v, 0, 1)
		q.keep(key, v)
	case "top_k":
		q.Once(key)
		q.Whole(key, v, -1, math.MaxInt32)
		q.keep(key, v)
	case "tools":
		q.Once(key)
		q.toolsOf(v)
	case "tool_choice":
		q.Once(key)
		q.choose(v)
	default:
		q.more(key, v)
	}
}

// more looks at the fields that are rarer.
func (q *Request) more(key string, v *fastjson.Value) {
	switch key {
	case "metadata":
		q.Once(key)
		if q.Object(key, v) {
			if id := v.Get("user_id"); id != nil && id.Type() != fastjson.TypeNull {
				q.Text("metadata.user_id", id)
				q.keep("user", id)
			}
		}
	case "thinking":
		q.Once(key)
		q.thinking(v)
	case "output_config":
		q.Once(key)
		q.output(v)
	case "output_format":
		q.Once(key)
		q.format(key, v)
	case "container", "mcp_servers":
		if len(v.GetArray()) > 0 || v.Type() != fastjson.TypeArray {
			q.Add(key, "is Anthropic's own service, and is not served here: run the tools in the client")
		}
	case "cache_control", "context_management", "service_tier", "inference_geo", "diagnostics", "speed", "betas", "anthropic_beta",
		"anthropic_version", "user_profile_id", "workspace_id":
		// None of these changes what the answer says.
	case "stream_options", "stop", "max_completion_tokens", "functions", "function_call", "response_format", "parallel_tool_calls",
		"continue_final_message", "add_generation_prompt":
		q.Add(key, "is not a field of this API")
	case "n":
		q.Whole(key, v, 1, 1)
	case "chat_template_kwargs":
		q.kwargs = true
		q.keep(key, v)
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

func (q *Request) stopAt(v *fastjson.Value) {
	for i, s := range q.List("stop_sequences", v) {
		if text, ok := q.Name(chat.At("stop_sequences", i, ""), s); ok {
			q.stops = append(q.stops, string(text))
		}
	}
	if len(q.stops) > 0 {
		q.keep("stop", v)
	}
}

func (q *Request) thinking(v *fastjson.Value) {
	if !q.Object("thinking", v) {
		return
	}
	switch kind := string(v.GetStringBytes("type")); kind {
	case "enabled", "adaptive", "between_tools":
		q.think, q.show = thinks, true
		if b := v.Get("budget_tokens"); b != nil && b.Type() != fastjson.TypeNull {
			q.Whole("thinking.budget_tokens", b, 1, math.MaxInt32)
		} else if kind == "enabled" {
			q.Add("thinking.budget_tokens", "is missing")
		}
	case "disabled":
		q.think = thinksNot
	default:
		q.Add("thinking.type", "must be enabled, adaptive, between_tools or disabled")
	}
	q.omit = string(v.GetStringBytes("display")) == "omitted"
}

func (q *Request) output(v *fastjson.Value) {
	if !q.Object("output_config", v) {
		return
	}
	if e := v.Get("effort"); e != nil && e.Type() != fastjson.TypeNull {
		switch effort, _ := q.Text("output_config.effort", e); string(effort) {
		case "low", "medium", "high":
			q.effort = effort
		case "xhigh", "max": // engines have no word for more
			q.effort = []byte("high")
		default:
			q.Add("output_config.effort", "must be low, medium, high, xhigh or max")
		}
	}
	if f := v.Get("format"); f != nil && f.Type() != fastjson.TypeNull {
		q.format("output_config.format", f)
	}
}

// format translates a JSON schema that the answer has to fit.
func (q *Request) format(param string, v *fastjson.Value) {
	if !q.Object(param, v) {
		return
	}
	if string(v.GetStringBytes("type")) != "json_schema" {
		q.Add(param+".type", "must be json_schema")
		return
	}
	if schema := v.Get("schema"); q.Object(param+".schema", schema) {
		q.fields = append(q.fields, `,"response_format":{"type":"json_schema","json_schema":{"name":"answer","strict":true,"schema":`...)
		q.fields = append(chat.AppendValue(q.fields, schema), "}}"...)
	}
}

// write makes the body for the engine.
func (q *Request) write(answers bool) {
	open := q.talk.Open()
	b := append(q.talk.End(), q.fields...)
	if open { // the last message is the beginning of the answer
		b = append(b, `,"continue_final_message":true,"add_generation_prompt":false`...)
	}
	b = q.writeTools(b)
	if q.think != asUsual && !q.kwargs { // Qwen's name, and DeepSeek's; templates pass over what they do not know
		yes := "false"
		if q.think == thinks {
			yes = "true"
		}
		b = append(b, `,"chat_template_kwargs":{"enable_thinking":`+yes+`,"thinking":`+yes+`}`...)
	}
	if len(q.effort) > 0 {
		b = chat.AppendString(append(b, `,"reasoning_effort":`...), q.effort)
	}
	if answers && q.stream {
		b = append(b, `,"stream":true,"stream_options":{"include_usage":true}`...)
	}
	q.Chat = append(b, '}')
}
