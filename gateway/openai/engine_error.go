package openai

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/valyala/fastjson"

	"github.com/lotabots/lotabots/cluster/spec"
)

// theirs are the codes of the catalogue that an engine may tell of a request. Others,
// such as those of keys, are between the gateway and the engine.
var theirs = map[spec.Code]bool{
	spec.CodeInvalidRequest: true, spec.CodeInvalidJSON: true, spec.CodeUnsupported: true, spec.CodeContextLength: true, spec.CodeUnsupportedModel: true,
	spec.CodeNotFound: true, spec.CodeBodyTooLarge: true, spec.CodeUnsupportedMedia: true,
}

// ofStatus are the statuses by which engines say more than that the request is not valid.
var ofStatus = map[int]spec.Code{
	http.StatusUnauthorized: spec.CodeUpstream, http.StatusForbidden: spec.CodeUpstream, http.StatusProxyAuthRequired: spec.CodeUpstream, // it refuses the gateway
	http.StatusRequestTimeout: spec.CodeDeadline, http.StatusRequestEntityTooLarge: spec.CodeBodyTooLarge,
	http.StatusUnsupportedMediaType: spec.CodeUnsupportedMedia, http.StatusTooManyRequests: spec.CodeBusy, http.StatusNotImplemented: spec.CodeUnsupportedModel,
}

// Bounds of what is told of an engine's words, in bytes.
const (
	maxSaid  = 600
	maxNamed = 200
)

// EngineError is what an engine's answer with an error status says of the request, as an
// error of the gateway's. Its message, the field and its code are the engine's where they
// can be read. asked is the method and path that the engine was asked at.
func EngineError(asked string, status int, answer []byte) *spec.Error {
	w, ok := wordsOf(answer)
	switch {
	case status == http.StatusMethodNotAllowed, status == http.StatusNotFound && !w.unknown():
		return unserved(asked, status, w, answer)
	case ok:
		return w.err(status, answered(status))
	case status < http.StatusBadRequest || !hollow(answer):
		return &spec.Error{Code: codeOf(status), Message: answered(status) + shown(answer)}
	case codeOf(status).Lookup().Status >= http.StatusInternalServerError:
		return &spec.Error{Code: codeOf(status), Message: "The engine failed with status " + strconv.Itoa(status) + " and gave no reason."}
	}
	return &spec.Error{Code: codeOf(status), Message: "The engine refused the request with status " + strconv.Itoa(status) + " and gave no reason.", Hint: reasonless[codeOf(status)]}
}

// reasonless are hints for refusals without a reason, where the catalogue's would not help.
var reasonless = map[spec.Code]string{spec.CodeInvalidRequest: "The engine's own log may tell more: see the log of its node."}

// unserved says that the engine does not have the endpoint, in its words if it gave some.
func unserved(asked string, status int, w *words, answer []byte) *spec.Error {
	said := ""
	switch {
	case w != nil:
		said = ": " + w.message
	case !hollow(answer):
		said = ": " + shown(bytes.TrimSpace(answer))
	}
	return &spec.Error{Code: spec.CodeUnsupportedModel, Message: "The model's engine does not serve " + asked + " (status " + strconv.Itoa(status) + said + ").",
		Hint: "Use a model whose engine serves " + asked + ": GET /v1/models tells what each can."}
}

// unknown tells whether what was not found is the model, or an adapter, as clearly as
// engines say it. nil: nothing was said.
func (w *words) unknown() bool {
	if w == nil {
		return false
	}
	text := strings.ToLower(w.message)
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(text, p) })
	}
	return w.code == "model_not_found" || w.param == "model" ||
		has("model", "adapter", "lora") && has("not exist", "not found", "no such", "unknown", "not loaded", "not available", "no model") && !has("endpoint", "/v1/", "url", "path", "route")
}

// hollow tells whether an answer has no word in it, or none beside JSON's names.
func hollow(answer []byte) bool {
	v, err := fastjson.ParseBytes(answer)
	if err != nil {
		return len(bytes.TrimSpace(answer)) == 0
	}
	return empty(v)
}

func empty(v *fastjson.Value) bool {
	switch v.Type() {
	case fastjson.TypeNull:
		return true
	case fastjson.TypeString:
		return len(bytes.TrimSpace(v.GetStringBytes())) == 0
	case fastjson.TypeArray:
		return !slices.ContainsFunc(v.GetArray(), func(v *fastjson.Value) bool { return !empty(v) })
	case fastjson.TypeObject:
		all := true
		v.GetObject().Visit(func(_ []byte, v *fastjson.Value) { all = all && empty(v) })
		return all
	}
	return false
}

// StreamError is what an engine says in an event by which it ends a stream: the fields of
// an error that it would have answered with, whose status stands in it or is not known.
func StreamError(event []byte) *spec.Error {
	const ended = "The engine ended the stream with an error"
	at := bytes.IndexByte(event, '{')
	if at < 0 {
		return &spec.Error{Code: spec.CodeUpstream, Message: ended + "."}
	}
	w, ok := wordsOf(bytes.TrimRight(event[at:], "\r\n "))
	if !ok {
		return &spec.Error{Code: spec.CodeUpstream, Message: ended + "."}
	}
	status := w.status
	if theirs[spec.Code(w.code)] && status == 0 {
		status = http.StatusBadRequest
	}
	return w.err(status, ended+": ")
}

// Garbled is an event that is none of a streamed answer, as an error.
func Garbled(event []byte) *spec.Error {
	return &spec.Error{Code: spec.CodeUpstream, Message: "The engine sent something in its stream that is no piece of an answer: " + shown(event)}
}

// NoAnswer is an answer of status 200 that is not what was asked for, as an error.
func NoAnswer(contentType string, answer []byte) *spec.Error {
	return &spec.Error{Code: spec.CodeUpstream, Message: "The engine answered with something that is no answer to the request (" +
		clip(strings.ToValidUTF8(contentType, "?"), 100) + "): " + shown(answer)}
}

func answered(status int) string {
	return "The engine answered with status " + strconv.Itoa(status) + ": "
}

func shown(b []byte) string {
	if len(bytes.TrimSpace(b)) == 0 {
		return "nothing"
	}
	return clip(strings.ToValidUTF8(string(b[:min(len(b), 301)]), "?"), 300)
}

// codeOf is the code for an engine's status.
func codeOf(status int) spec.Code {
	switch code, ok := ofStatus[status]; {
	case ok:
		return code
	case status == http.StatusNotFound:
		return spec.CodeNotFound
	case status >= 400 && status < 500:
		return spec.CodeInvalidRequest
	}
	return spec.CodeUpstream
}

// words are what an engine says of an error, in whatever form.
type words struct {
	message, param, hint, code, kind string
	status                           int // 0: not said
}

// err is the error, for an answer of that status. A message that is not of the request
// alone is told behind lead.
func (w *words) err(status int, lead string) *spec.Error {
	e := &spec.Error{Code: codeOf(status), Message: w.message, Param: w.param, Hint: w.hint}
	switch code := spec.Code(w.code); {
	case e.Code != spec.CodeInvalidRequest && e.Code != spec.CodeNotFound && e.Code != spec.CodeBodyTooLarge && e.Code != spec.CodeUnsupportedMedia:
	case theirs[code]:
		e.Code, w.code = code, ""
	case w.kind == "exceed_context_size_error", code == "context_length_exceeded", strings.Contains(w.message, "maximum context length"): // llama-server's, vLLM's
		e.Code = spec.CodeContextLength
	case w.kind == "not_supported_error":
		e.Code = spec.CodeUnsupportedModel
	}
	if w.code != string(e.Code) {
		e.EngineCode = w.code
	}
	if s := e.Code.Lookup().Status; s >= 500 || s == http.StatusTooManyRequests {
		e.Message, e.Param, e.Hint = lead+w.message, "", ""
	}
	if e.Code == spec.CodeBodyTooLarge && e.Hint == "" {
		e.Hint = "Send less: it is the engine's limit."
	}
	return e
}

// wordsOf reads an engine's error: OpenAI's form, which is vLLM's, llama-server's and
// Ollama's too, vLLM's older one without error around it, a text as error, as Triton and
// Ollama have it, and FastAPI's detail. False: it says nothing that could be told.
func wordsOf(answer []byte) (*words, bool) {
	v, err := fastjson.ParseBytes(answer)
	if err != nil {
		return nil, false
	}
	if list := v.GetArray(); len(list) > 0 {
		v = list[0]
	}
	w := &words{}
	w.read(v, 2)
	if w.message == "" {
		return nil, false
	}
	w.message = clip(strings.ToValidUTF8(w.message, "?"), maxSaid)
	for _, s := range []*string{&w.param, &w.hint, &w.code} {
		*s = clip(strings.ToValidUTF8(*s, "?"), maxNamed)
	}
	w.param = BracketParam(w.param)
	return w, true
}

// read notes what the object v says, and what those say that it wraps, to that depth.
func (w *words) read(v *fastjson.Value, depth int) {
	if v.Type() == fastjson.TypeString {
		w.message = string(v.GetStringBytes())
		return
	}
	if v.Type() != fastjson.TypeObject || depth < 0 {
		return
	}
	w.take(v)
	for _, key := range []string{"error", "detail"} {
		switch inner := v.Get(key); {
		case inner == nil || inner.Type() == fastjson.TypeNull:
		case inner.Type() == fastjson.TypeArray:
			w.details(inner.GetArray())
		default:
			w.read(inner, depth-1)
		}
	}
}

// take notes the fields of v itself.
func (w *words) take(v *fastjson.Value) {
	set := func(to *string, key string) {
		if s := v.GetStringBytes(key); len(s) > 0 {
			*to = string(s)
		}
	}
	set(&w.message, "msg")
	set(&w.message, "message")
	set(&w.param, "param")
	set(&w.hint, "hint")
	set(&w.code, "code")
	set(&w.kind, "type")
	for _, key := range []string{"status", "status_code", "code"} {
		if n := v.GetInt(key); n >= 400 && n < 600 {
			w.status = n
		}
	}
}

// details notes FastAPI's list of what is wrong with a body, each with its place.
func (w *words) details(list []*fastjson.Value) {
	var all []string
	for _, d := range list {
		var one words
		one.take(d)
		place := placeOf(d.GetArray("loc"))
		if one.message == "" {
			continue
		}
		if w.param == "" {
			w.param = place
		}
		if place != "" {
			one.message = place + ": " + one.message
		}
		all = append(all, one.message)
	}
	if len(all) > 0 {
		w.message = strings.Join(all, "; ")
	}
}

// placeOf is FastAPI's way to a field as the gateway writes it.
func placeOf(loc []*fastjson.Value) string {
	var place []byte
	for i, step := range loc {
		switch name := step.GetStringBytes(); {
		case step.Type() == fastjson.TypeNumber:
			place = append(strconv.AppendInt(append(place, '['), step.GetInt64(), 10), ']')
		case i == 0 && string(name) == "body":
		case len(place) > 0:
			place = append(append(place, '.'), name...)
		default:
			place = append(place, name...)
		}
	}
	return string(place)
}

// BracketParam is the name of a field in the one form that clients are told:
// messages[0].role, where some write messages.0.role.
func BracketParam(param string) string {
	if !strings.Contains(param, ".") {
		return param
	}
	steps := strings.Split(param, ".")
	out := steps[0]
	for _, s := range steps[1:] {
		if isIndex(s) {
			out += "[" + s + "]"
		} else {
			out += "." + s
		}
	}
	return out
}

func isIndex(s string) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}
