package grammar

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A Form is how a family of models writes calls of functions: Open, then calls with Between, then Close. A call is
// {"name": NAME, KEY: ARGUMENTS} between Before and After.
type Form struct {
	Open, Close   string
	Before, After string
	Between       string
	Key           string // of the arguments
	Many          bool   // several calls may follow each other
}

// A Function is what may be called.
type Function struct {
	Name string
	// Parameters is the JSON schema of its arguments, which are an object; null or nothing: any object.
	Parameters json.RawMessage
	// Strict refuses a schema that the grammar cannot keep to; otherwise it keeps to what it can.
	Strict bool
	At     string // where the request has it, for errors
}

// Calls are the grammars of the calls of some functions.
type Calls struct {
	form  Form
	rules rules
	call  ref // of any of the functions
}

// NewCalls converts the functions' schemas. Errors name the function by where the request has it.
func NewCalls(form Form, functions []Function) (*Calls, error) {
	c := &converter{rules: rules{}}
	var any alt
	for _, f := range functions {
		arguments, err := c.arguments(f)
		if err != nil {
			return nil, err
		}
		// written as history is, so that what follows finds it in the cache
		any = append(any, seq{literal(`{"name": "` + inJSON(f.Name) + `", "` + form.Key + `": `), arguments, literal("}")})
	}
	return &Calls{form: form, call: c.rule(any), rules: c.rules}, nil
}

func (c *converter) arguments(f Function) (node, error) {
	if len(f.Parameters) == 0 || string(f.Parameters) == "null" {
		return ref("object"), nil
	}
	c.document, c.refs, c.lenient = f.Parameters, map[string]ref{}, !f.Strict
	n, err := c.parameters(f.Parameters)
	if err == nil {
		r := c.rule(n)
		c.rules.complete()
		if c.rules.heights()[string(r)] == endless {
			err = invalid("", "nothing that ends conforms to it")
		}
		n = r
	}
	var e *spec.Error
	if errors.As(err, &e) {
		told := *e
		told.Param = f.At + ".parameters"
		told.Message = told.Param + ": " + e.Message
		if e.Code == spec.CodeUnsupported {
			told.Hint = "Leave the keyword away, or strict: true"
		}
		return nil, &told
	}
	return n, err
}

// parameters is the schema of an object, whether it says so or not.
func (c *converter) parameters(raw json.RawMessage) (node, error) {
	if len(raw) > maxSchema {
		return nil, unsupported("", "it has %d bytes; at most %d are supported", len(raw), maxSchema)
	}
	o, err := parseObject(raw)
	if err != nil {
		return nil, invalid("", "it must be an object")
	}
	if t, ok := o.values["type"]; ok && string(t) != `"object"` {
		return nil, invalid("", "its type must be object: arguments have names")
	}
	n, err := c.schema(raw, "#", 0)
	if n == ref("value") { // a schema that says nothing
		n = ref("object")
	}
	return n, err
}

// Whole is the grammar of calls, one at least. once: exactly one. other, where it is not empty, is the JSON schema of
// what may be written instead, or "object" for any JSON object.
func (c *Calls) Whole(once bool, other json.RawMessage) (string, error) {
	r := c.copy()
	calls := c.all(once, c.form.Open+c.form.Before)
	switch {
	case len(other) == 0:
		r["root"] = calls
	case string(other) == "object":
		r["root"] = alt{calls, ref("object")}
	default:
		k := &converter{document: other, rules: r, refs: map[string]ref{}}
		n, err := k.schema(other, "#", 0)
		if err != nil {
			return "", err
		}
		r["root"] = alt{calls, n}
	}
	r.complete()
	return r.String(), nil
}

// After is the grammar of a text that begins with before, which ends with the first bytes of a call, mark.
func (c *Calls) After(before, mark string, once bool) string {
	r := c.copy()
	begin := c.form.Open + c.form.Before
	if !strings.HasPrefix(begin, mark) { // a form without words of its own begins with the call itself
		return c.inside(r, before, mark)
	}
	r["root"] = c.all(once, before+begin[len(mark):])
	r.complete()
	return r.String()
}

// inside is for forms whose mark is the beginning of the call's JSON.
func (c *Calls) inside(r rules, before, mark string) string {
	var any alt
	for _, n := range r[string(c.call)].(alt) {
		s := n.(seq)
		first := string(s[0].(literal))
		any = append(any, append(seq{literal(before + strings.TrimPrefix(first, mark))}, s[1:]...))
	}
	r["root"] = any
	r.complete()
	return r.String()
}

func (c *Calls) copy() rules {
	r := rules{}
	for name, n := range c.rules {
		r[name] = n
	}
	return r
}

// all are the calls after what begins the first one.
func (c *Calls) all(once bool, begin string) node {
	s := seq{literal(begin), c.call, literal(c.form.After)}
	if !once && c.form.Many {
		s = append(s, rep{seq{literal(c.form.Between + c.form.Before), c.call, literal(c.form.After)}, 0, -1})
	}
	return append(s, literal(c.form.Close))
}
