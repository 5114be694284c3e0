package openai

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/valyala/fastjson"
)

// A rule is what a field may hold. It is as strict as OpenAI's API and the engines are
// together: where one of them takes more, so does the rule, and that one's own words are
// what a client gets from another. null is a field that was not given; fields without a
// rule are nobody's business.
type rule struct {
	is        kinds
	low, high float64 // of a number, where they are not both 0
	whole     bool    // numbers are
	filled    bool    // strings are not empty
	words     []string
	each      *rule   // of an array
	every     *rule   // of an object: any of its values
	fields    []named // of an object
	also      also    // of an object
}

// A named rule is that of an object's field.
type named struct {
	name string
	rule *rule
	must bool // it may not be left out
}

// also is what an object's type asks of its other fields.
type also uint8

const (
	nothing    also = iota
	ifFunction      // one is described
	ifNamed         // one is named
	ifSchema
)

// kinds are those of JSON's values.
type kinds uint8

const (
	aString kinds = 1 << iota
	aNumber
	aBool
	anArray
	anObject
)

func kindOf(v *fastjson.Value) kinds {
	switch v.Type() {
	case fastjson.TypeString:
		return aString
	case fastjson.TypeNumber:
		return aNumber
	case fastjson.TypeTrue, fastjson.TypeFalse:
		return aBool
	case fastjson.TypeArray:
		return anArray
	case fastjson.TypeObject:
		return anObject
	}
	return 0
}

// A step is one of the way to the value that is held to its rule: a field's name, or an
// element's number.
type step struct {
	name string // empty: it is an element
	at   int
}

// hold lists what is wrong with a field of the body, by the endpoint's rules.
func (r *Request) hold(e Endpoint, key []byte, v *fastjson.Value) {
	w := rules[e].of(key)
	if w == nil || v.Type() == fastjson.TypeNull {
		return
	}
	r.way = append(r.way[:0], step{name: w.name})
	r.keepTo(v, w.rule)
}

// Hold lists what is wrong with a field of a body that some API takes as chat completions do.
func Hold(problems []Problem, key string, v *fastjson.Value) []Problem {
	r := Request{Problems: problems}
	r.hold(Chat, []byte(key), v)
	return r.Problems
}

// keepTo holds the value at the end of r.way.
func (r *Request) keepTo(v *fastjson.Value, w *rule) {
	kind := kindOf(v)
	switch {
	case w.is&kind == 0:
		r.fault(w.must())
	case kind == aNumber && !w.reaches(v), kind == aString && !w.says(v.GetStringBytes()):
		r.fault(w.must())
	case kind == anArray && w.each != nil:
		for i, item := range v.GetArray() {
			if len(r.Problems) >= maxProblems {
				return
			}
			r.way = append(r.way, step{at: i})
			r.keepTo(item, w.each)
			r.way = r.way[:len(r.way)-1]
		}
	case kind == anObject:
		for i := range w.fields {
			f := &w.fields[i]
			r.inner(v, f.name, f.rule, f.must)
		}
		if w.every != nil {
			r.everyOf(v, w.every)
		}
		r.alsoOf(v, w.also)
	}
}

// everyOf holds all values of the object v.
func (r *Request) everyOf(v *fastjson.Value, w *rule) {
	v.GetObject().Visit(func(key []byte, item *fastjson.Value) {
		if w.is&kindOf(item) == 0 {
			r.way = append(r.way, step{name: clip(string(key), maxNamed)})
			r.fault(w.must())
			r.way = r.way[:len(r.way)-1]
		}
	})
}

// alsoOf holds what depends on the object's type. Of types that are not known here it is
// the engine's to know.
func (r *Request) alsoOf(v *fastjson.Value, what also) {
	if what == nothing {
		return
	}
	kind := v.GetStringBytes("type")
	function := kind == nil || string(kind) == "function"
	switch {
	case what == ifFunction && function:
		r.inner(v, "function", isFunction, true)
	case what == ifNamed && function:
		r.inner(v, "function", isChosen, true)
	case what == ifSchema && string(kind) == "json_schema":
		r.inner(v, "json_schema", isSchema, !v.Exists("schema")) // llama.cpp has it beside the type
	}
}

// inner holds the field of that name of the object v.
func (r *Request) inner(v *fastjson.Value, name string, w *rule, must bool) {
	r.way = append(r.way, step{name: name})
	switch f := v.Get(name); {
	case f != nil && f.Type() != fastjson.TypeNull:
		r.keepTo(f, w)
	case must:
		r.fault("is missing: it " + w.must())
	}
	r.way = r.way[:len(r.way)-1]
}

// fault lists a problem of the value at the end of r.way.
func (r *Request) fault(message string) {
	if len(r.Problems) >= maxProblems {
		return
	}
	var param []byte
	for i, s := range r.way {
		switch {
		case s.name == "" && i > 0:
			param = append(strconv.AppendInt(append(param, '['), int64(s.at), 10), ']')
		case i > 0:
			param = append(append(param, '.'), s.name...)
		default:
			param = append(param, s.name...)
		}
	}
	r.add(string(param), message)
}

// reaches tells whether a number is in the rule's bounds.
func (w *rule) reaches(v *fastjson.Value) bool {
	f, err := v.Float64()
	if err != nil || w.whole && f != math.Trunc(f) {
		return false
	}
	return w.low == 0 && w.high == 0 || w.low <= f && f <= w.high
}

// says tells whether a string is one that the rule allows.
func (w *rule) says(text []byte) bool {
	if w.words == nil {
		return !w.filled || len(text) > 0
	}
	return slices.ContainsFunc(w.words, func(one string) bool { return one == string(text) })
}

// must says what the rule wants.
func (w *rule) must() string {
	var all []string
	if w.is&aString != 0 {
		switch {
		case w.words != nil:
			all = append(all, strings.Join(w.words, " or "))
		case w.filled:
			all = append(all, "a string that is not empty")
		default:
			all = append(all, "a string")
		}
	}
	if w.is&aNumber != 0 {
		all = append(all, w.number())
	}
	for _, k := range []struct {
		kind kinds
		name string
	}{{aBool, "true or false"}, {anArray, "an array"}, {anObject, "an object"}} {
		if w.is&k.kind != 0 {
			all = append(all, k.name)
		}
	}
	return "must be " + strings.Join(all, " or ")
}

func (w *rule) number() string {
	text := "a number"
	if w.whole {
		text = "a whole number"
	}
	number := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	switch {
	case w.low == 0 && w.high == 0:
		return text
	case w.high >= math.MaxInt32:
		return text + " of at least " + number(w.low)
	}
	return text + " from " + number(w.low) + " to " + number(w.high)
}
