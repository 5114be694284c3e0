package openai

import (
	"math"
	"strconv"

	"github.com/valyala/fastjson"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/pool"
)

// maxProblems bounds how many problems are listed of one request.
const maxProblems = 16

// maxKeptParser is the body size above which a parser's memory is not kept.
const maxKeptParser = 256 << 10

// A Request is what routing needs to know of a body. It may be used again:
// Check overwrites it.
type Request struct {
	Model        []byte // as the client wrote it
	Stream       bool
	IncludeUsage bool
	N            int
	MaxTokens    int // 0: the engine's default
	PromptTokens int // estimate: four bytes a token
	LeastTokens  int // that the longest of the prompts has for certain; 0: not known, or the engine is to cut it
	Priority     int // as vLLM has it: less is sooner
	Tier         Tier
	Needs        spec.Ability // of the engine, with its endpoint's
	Problems     []Problem

	images, audio int // messages that brought these first; meant where Needs has them

	said     said
	seen     uint32
	promptIn int // bytes of text in the prompt
	cuts     bool
	parsed   parsed
	way      []step // to what is held to a rule
}

var parsers = pool.New("request-parsers", func() *fastjson.Parser { return new(fastjson.Parser) })

// Check reads body. The error is an invalid_json one where it is no JSON object;
// whatever else is wrong is listed in r.Problems. body is not kept, but what Names needs of
// it is, until Release.
func (r *Request) Check(e Endpoint, body []byte) *spec.Error {
	*r = Request{Model: r.Model[:0], Problems: r.Problems[:0], way: r.way[:0], N: 1, Needs: e.Able()}
	p := parsers.Get()
	obj, refused := Parse(p, body)
	if refused != nil {
		keep(p, body)
		return refused
	}
	obj.Visit(func(key []byte, v *fastjson.Value) { r.field(e, key, v) })
	r.required(e)
	if len(body) <= maxKeptParser {
		r.parsed.parser = p
	}
	r.PromptTokens = max(1, r.promptIn/4)
	switch {
	case r.cuts:
		r.LeastTokens = 0
	case rows[e].reads&fMessages != 0:
		r.LeastTokens = leastOf(r.promptIn)
	}
	return nil
}

func keep(p *fastjson.Parser, body []byte) {
	if len(body) <= maxKeptParser {
		parsers.Put(p)
	}
}

// Fields that may be given once.
const (
	fModel uint32 = 1 << iota
	fStream
	fStreamOptions
	fMessages
	fPrompt
	fInput
	fMaxTokens
	fMaxCompletion
	fN
	fTopLogprobs
	fQuery
	fDocuments
	fTopN
	fReturn
	fSpoken
	fFile
	fUsage
	fTools
	fFunctions
	fFormat
	fLogprobs
	fModalities
	fContinue
	fTokenIDs
	fContinuation
	fPriority
	fTier
	fChoice
)

func (r *Request) field(e Endpoint, key []byte, v *fastjson.Value) {
	switch string(key) {
	case "model":
		r.once(fModel, "model")
		if r.want(v, fastjson.TypeString, "model", "a string") {
			r.Model = append(r.Model[:0], v.GetStringBytes()...)
		}
	case "stream":
		r.once(fStream, "stream")
		r.stream(e, v)
	case "stream_options":
		r.once(fStreamOptions, "stream_options")
		if v.Type() != fastjson.TypeNull && r.want(v, fastjson.TypeObject, "stream_options", "an object") {
			v.GetObject().Visit(r.streamOption)
		}
	case "max_tokens":
		r.once(fMaxTokens, "max_tokens")
		r.MaxTokens = max(r.MaxTokens, r.integer("max_tokens", v, 1, math.MaxInt32))
	case "max_completion_tokens":
		r.once(fMaxCompletion, "max_completion_tokens")
		r.MaxTokens = max(r.MaxTokens, r.integer("max_completion_tokens", v, 1, math.MaxInt32))
	case "n":
		r.once(fN, "n")
		r.N = max(1, r.integer("n", v, 1, 128))
	default:
		if r.own(rows[e].reads, key, v) {
			return // it has no rule
		}
		r.wishes(key, v)
		r.hold(e, key, v)
	}
}

// streamOption looks at a field of stream_options.
func (r *Request) streamOption(key []byte, v *fastjson.Value) {
	if string(key) != "include_usage" {
		return
	}
	const param = "stream_options.include_usage"
	r.once(fUsage, param)
	r.boolean(param, v)
	r.IncludeUsage = v.Type() == fastjson.TypeTrue
}

// own looks at a field that only some endpoints have: those of reads. It tells whether key is one, of whichever.
func (r *Request) own(reads uint32, key []byte, v *fastjson.Value) bool {
	mine := func(bit uint32, param string) bool {
		if reads&bit == 0 {
			return false
		}
		r.once(bit, param)
		return true
	}
	switch string(key) {
	case "messages":
		if mine(fMessages, "messages") {
			r.parsed.messages = v
			r.messages(v)
		}
	case "prompt":
		if mine(fPrompt, "prompt") {
			r.parsed.prompt = v
			r.text("prompt", v)
		}
	case "input":
		if mine(fInput, "input") {
			r.text("input", v)
		}
		if mine(fSpoken, "input") {
			r.plain("input", v)
		}
	case "query":
		if mine(fQuery, "query") {
			r.plain("query", v)
		}
	case "documents":
		if mine(fDocuments, "documents") {
			r.documents(v)
		}
	case "top_n":
		if mine(fTopN, "top_n") {
			r.integer("top_n", v, 1, math.MaxInt32)
		}
	case "return_documents":
		if mine(fReturn, "return_documents") {
			r.boolean("return_documents", v)
		}
	default:
		return false
	}
	return true
}

func (r *Request) required(e Endpoint) {
	if r.seen&fModel == 0 || (len(r.Model) == 0 && !r.has("model")) {
		r.add("model", "is missing: name the deployment that should answer")
	}
	for _, n := range rows[e].needs {
		if r.seen&n.bit == 0 {
			r.add(n.param, n.missing)
		}
	}
	if r.seen&fTopLogprobs != 0 && r.Needs&spec.AbleLogprobs == 0 && rows[e].reads&fMessages != 0 && !r.has("logprobs") {
		r.add("top_logprobs", "needs \"logprobs\": true")
	}
	if r.seen&fStreamOptions != 0 && r.IncludeUsage && !r.Stream {
		r.add("stream_options", "may only be given with \"stream\": true")
	}
}

func (r *Request) stream(e Endpoint, v *fastjson.Value) {
	switch v.Type() {
	case fastjson.TypeTrue:
		r.Stream = true
		if !e.Streams() {
			r.add("stream", "must not be true: answers of "+e.String()+" are not streamed")
		}
	case fastjson.TypeFalse, fastjson.TypeNull:
	default:
		r.add("stream", "must be true or false")
	}
}

func (r *Request) once(bit uint32, param string) {
	if r.seen&bit != 0 {
		r.add(param, "is given twice")
	}
	r.seen |= bit
}

func (r *Request) want(v *fastjson.Value, t fastjson.Type, param, what string) bool {
	if v.Type() == t {
		return true
	}
	r.add(param, "must be "+what)
	return false
}

func (r *Request) has(param string) bool {
	for _, p := range r.Problems {
		if p.Param == param {
			return true
		}
	}
	return false
}

func (r *Request) add(param, message string) {
	if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, Problem{Param: param, Message: message})
	}
}

func (r *Request) integer(param string, v *fastjson.Value, lo, hi int) int {
	if v.Type() == fastjson.TypeNull {
		return 0
	}
	n, err := v.Int()
	if err != nil || n < lo || n > hi {
		r.add(param, "must be a whole number from "+strconv.Itoa(lo)+" to "+strconv.Itoa(hi))
		return 0
	}
	return n
}

func (r *Request) boolean(param string, v *fastjson.Value) {
	switch v.Type() {
	case fastjson.TypeTrue, fastjson.TypeFalse, fastjson.TypeNull:
	default:
		r.add(param, "must be true or false")
	}
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "..."
}
