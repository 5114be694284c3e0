package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strconv"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/openai"
)

// A form collects what is wrong with an admin request's body.
type form struct {
	problems []openai.Problem
	lacks    bool // one of them is that something is not there, as this node's copy of the state has it
	unread   bool // and the newest state could not be looked at
}

func (f *form) add(param, message string) {
	f.problems = append(f.problems, openai.Problem{Param: param, Message: message})
}

// check adds a problem unless ok.
func (f *form) check(ok bool, param, message string) {
	if !ok {
		f.add(param, message)
	}
}

// there adds a problem unless ok, which is whether the state has something: it may have
// been made a moment ago.
func (f *form) there(ok bool, param, message string) {
	f.check(ok, param, message)
	f.lacks = f.lacks || !ok
}

// judge has check look at what is asked for. Where something is not there as this node's
// copy of the state has it, that is told from the newest state alone.
func (r *request) judge(f *form, check func()) error {
	was := len(f.problems)
	check()
	if f.lacks && r.g.cfg.Barrier != nil {
		if newer, err := r.newest(); err != nil {
			f.unread = true
			return err
		} else if newer {
			f.problems = f.problems[:was]
			check()
		}
	}
	return f.err()
}

func (f *form) err() error {
	if len(f.problems) == 0 {
		return nil
	}
	return &invalid{problems: f.problems}
}

// decode reads the body into the struct that v points to. Fields that are not
// known or of another type become problems; the others are set.
func (r *request) decode(v any) (*form, error) {
	body, err := r.wholeBody()
	if err != nil {
		return nil, err
	}
	r.counts = counted(body, v)
	return decodeForm(body, v)
}

// wholeBody is the body of an admin operation, which comes once and is there for
// every try at it.
func (r *request) wholeBody() (body []byte, err error) {
	if r.form == nil {
		if body, err = r.body(); err != nil {
			return nil, err
		}
		r.form = append([]byte{}, body...)
	}
	return r.form, nil
}

// counted is what of the body a write's id is made from: all but the fields that
// are tagged as secret. The id is read by others, who could guess at a secret by it.
func counted(body []byte, v any) []byte {
	fields := map[string]json.RawMessage{}
	if json.Unmarshal(body, &fields) != nil {
		return nil // and nothing is written
	}
	concealed, t := false, reflect.TypeOf(v).Elem()
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("json"); t.Field(i).Tag.Get("secret") != "" {
			concealed = true
			delete(fields, name)
		}
	}
	if !concealed {
		return body
	}
	rest, _ := json.Marshal(fields) // what has been read can be written
	return rest
}

// decodeOptional is decode of a body that may be empty.
func (r *request) decodeOptional(v any) (*form, error) {
	body, err := r.wholeBody()
	if err != nil {
		return nil, err
	}
	if r.counts = counted(body, v); len(bytes.TrimSpace(body)) == 0 {
		return &form{}, nil
	}
	return decodeForm(body, v)
}

func decodeForm(body []byte, v any) (*form, error) {
	if err := openai.CheckText(body); err != nil {
		return nil, err
	}
	fields := map[string]json.RawMessage{}
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(&fields); err != nil || fields == nil {
		return nil, notObject(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, spec.Errorf(spec.CodeInvalidJSON, "The body goes on after its JSON object.")
	}
	f := &form{}
	f.set("", fields, reflect.ValueOf(v).Elem())
	return f, nil
}

// set sets the fields of s; at is the path of s and its point, empty at the top.
func (f *form) set(at string, fields map[string]json.RawMessage, s reflect.Value) {
	known := map[string]reflect.Value{}
	for _, field := range reflect.VisibleFields(s.Type()) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" { // an embedded struct has none, its fields have
			known[name] = s.FieldByIndex(field.Index)
		}
	}
	for _, name := range sortedKeys(fields) {
		field, ok := known[name]
		if !ok {
			f.add(at+clip(name, 64), "is not known")
			continue
		}
		f.setOne(at+name, fields[name], field)
	}
}

// setOne sets one field. Those of a scale, and of its schedules, are looked at one by one.
func (f *form) setOne(at string, raw json.RawMessage, field reflect.Value) {
	inner, parts := map[string]json.RawMessage{}, []json.RawMessage{}
	switch null := string(raw) == "null"; {
	case !null && field.Type() == reflect.TypeFor[*spec.Scale]() && json.Unmarshal(raw, &inner) == nil:
		field.Set(reflect.New(field.Type().Elem()))
		f.set(at+".", inner, field.Elem())
	case !null && field.Type() == reflect.TypeFor[[]spec.ScaleSchedule]() && json.Unmarshal(raw, &parts) == nil:
		if len(parts) > spec.MaxSchedules {
			f.add(at, "must have at most 32 entries")
			return
		}
		field.Set(reflect.MakeSlice(field.Type(), len(parts), len(parts)))
		for i, part := range parts {
			path, inner := at+"["+strconv.Itoa(i)+"]", map[string]json.RawMessage{}
			if json.Unmarshal(part, &inner) != nil {
				f.add(path, "must be an object")
				continue
			}
			f.set(path+".", inner, field.Index(i))
		}
	default:
		if err := json.Unmarshal(raw, field.Addr().Interface()); err != nil {
			f.add(at, "must be "+describe(field.Type()))
			if field.Kind() == reflect.Pointer {
				field.SetZero() // what is no object has no fields to complain of
			}
		}
	}
}

func notObject(err error) error {
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF):
		return spec.Errorf(spec.CodeInvalidJSON, "The body is empty.")
	case errors.As(err, &syntax), errors.Is(err, io.ErrUnexpectedEOF):
		return spec.Errorf(spec.CodeInvalidJSON, "The body is not valid JSON: %s.", clip(err.Error(), 160))
	default:
		return spec.Errorf(spec.CodeInvalidJSON, "The body is JSON, but not an object.")
	}
}

// describe says what a field of type t wants.
func describe(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return describe(t.Elem())
	case reflect.Struct:
		return "an object"
	case reflect.Float64:
		return "a number"
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Uint32, reflect.Uint64:
		return "a whole number of 0 or more"
	case reflect.Int64:
		return "a whole number"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Struct {
			return "an array of objects"
		}
		return "an array of strings"
	default:
		return "an object of strings"
	}
}
