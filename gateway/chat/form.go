package chat

import (
	"slices"
	"strconv"

	"github.com/valyala/fastjson"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/pool"
	"github.com/lotabots/lotabots/gateway/openai"
)

// maxProblems bounds how many problems are listed of one request.
const maxProblems = 16

// maxKept is the body size above which a parser's memory is not kept.
const maxKept = 256 << 10

var parsers = pool.New("chat-parsers", func() *fastjson.Parser { return new(fastjson.Parser) })

// Read parses body, one JSON object, and gives each of its fields to field, which may
// keep nothing of it beyond end: that is called when all fields have been seen. The
// error is an invalid_json one.
func Read(body []byte, field func(key string, v *fastjson.Value), end func()) *spec.Error {
	p := parsers.Get()
	defer func() {
		if len(body) <= maxKept {
			parsers.Put(p)
		}
	}()
	o, err := openai.Parse(p, body)
	if err != nil {
		return err
	}
	o.Visit(func(key []byte, v *fastjson.Value) { field(string(key), v) })
	end()
	return nil
}

// A Form collects what is wrong with a body.
type Form struct {
	Problems []openai.Problem
	seen     []string
}

// Add adds a problem of param.
func (f *Form) Add(param, message string) {
	if len(f.Problems) < maxProblems {
		f.Problems = append(f.Problems, openai.Problem{Param: param, Message: message})
	}
}

// Once takes note of a field, and of one that is given twice.
func (f *Form) Once(param string) {
	if f.Has(param) {
		f.Add(param, "is given twice")
		return
	}
	f.seen = append(f.seen, param)
}

// Has tells whether Once has seen param.
func (f *Form) Has(param string) bool { return slices.Contains(f.seen, param) }

// Text reads a string.
func (f *Form) Text(param string, v *fastjson.Value) ([]byte, bool) {
	if v == nil || v.Type() != fastjson.TypeString {
		f.Add(param, "must be a string")
		return nil, false
	}
	return v.GetStringBytes(), true
}

// Name reads a string that must not be empty.
func (f *Form) Name(param string, v *fastjson.Value) ([]byte, bool) {
	if v == nil || v.Type() != fastjson.TypeString || len(v.GetStringBytes()) == 0 {
		f.Add(param, "must be a string that is not empty")
		return nil, false
	}
	return v.GetStringBytes(), true
}

// List reads an array; null is none.
func (f *Form) List(param string, v *fastjson.Value) []*fastjson.Value {
	if v.Type() != fastjson.TypeArray && v.Type() != fastjson.TypeNull {
		f.Add(param, "must be an array")
	}
	return v.GetArray()
}

// Object reads an object.
func (f *Form) Object(param string, v *fastjson.Value) bool {
	if v == nil || v.Type() != fastjson.TypeObject {
		f.Add(param, "must be an object")
		return false
	}
	return true
}

// Flag reads true or false; null is false.
func (f *Form) Flag(param string, v *fastjson.Value) bool {
	switch v.Type() {
	case fastjson.TypeTrue:
		return true
	case fastjson.TypeFalse, fastjson.TypeNull:
	default:
		f.Add(param, "must be true or false")
	}
	return false
}

// Whole checks a whole number.
func (f *Form) Whole(param string, v *fastjson.Value, low, high int) {
	if n, err := v.Int(); err != nil || n < low || n > high {
		f.Add(param, "must be a whole number from "+strconv.Itoa(low)+" to "+strconv.Itoa(high))
	}
}

// Number checks a number.
func (f *Form) Number(param string, v *fastjson.Value, low, high float64) {
	if x, err := v.Float64(); err != nil || x < low || x > high {
		f.Add(param, "must be a number from "+strconv.FormatFloat(low, 'g', -1, 64)+" to "+strconv.FormatFloat(high, 'g', -1, 64))
	}
}

// At is a param inside a list.
func At(list string, i int, rest string) string {
	return list + "[" + strconv.Itoa(i) + "]" + rest
}
