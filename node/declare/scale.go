package declare

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/node/config"
)

// noScale is the default of the field scale: replicas is how many copies run.
var noScale *spec.Scale

func checkScale(d Document, bad func(field, reason string)) {
	s := d.Fields["scale"].(*spec.Scale)
	if s == nil {
		return
	}
	if text(d, "engine") == "external" {
		bad("scale", "must be left out: an external engine is not started from here")
	}
	s.Check(text(d, "residency") == "on-demand", func(field, reason string) { bad("scale."+field, reason) })
}

// A scaleReader reads a scale from YAML, field by field, so that each that is wrong is told
// at its line.
type scaleReader struct {
	bad func(at *yaml.Node, field, reason, nearest string)
	ok  bool
}

// readScale reads the field scale; false: bad has been told why not.
func readScale(n *yaml.Node, bad func(at *yaml.Node, field, reason, nearest string)) (*spec.Scale, bool) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if empty(n) {
		return noScale, true
	}
	r, s := scaleReader{bad: bad, ok: true}, &spec.Scale{}
	r.fields(n, "scale", reflect.ValueOf(s).Elem())
	settle(s)
	return s, r.ok
}

func (r *scaleReader) wrong(at *yaml.Node, field, reason, nearest string) {
	r.ok = false
	r.bad(at, field, reason, nearest)
}

// fields sets those of the struct v from a mapping.
func (r *scaleReader) fields(n *yaml.Node, path string, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		r.wrong(n, path, "must be a mapping", "")
		return
	}
	known := map[string]reflect.Value{}
	var names []string
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("json")
		known[name], names = v.Field(i), append(names, name)
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		field, there := known[key.Value]
		at := path + "." + clip(key.Value)
		switch {
		case !there:
			r.wrong(key, at, "is not known", config.Nearest(key.Value, names))
		case seen[key.Value]:
			r.wrong(key, at, "is given twice", "")
		default:
			seen[key.Value] = true
			r.field(value, at, field)
		}
	}
}

func (r *scaleReader) field(n *yaml.Node, path string, v reflect.Value) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if empty(n) {
		return
	}
	if v.Type() == reflect.TypeFor[[]spec.ScaleSchedule]() {
		if n.Kind != yaml.SequenceNode || len(n.Content) > spec.MaxSchedules {
			r.wrong(n, path, fmt.Sprintf("must be a list of at most %d", spec.MaxSchedules), "")
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
		for i, part := range n.Content {
			r.fields(part, fmt.Sprintf("%s[%d]", path, i), v.Index(i))
		}
		return
	}
	if err := n.Decode(v.Addr().Interface()); err != nil || wrong(v.Interface(), n) || v.Kind() == reflect.Uint32 && n.Tag != "!!int" {
		r.wrong(n, path, "must be "+scaleType(v.Interface()), "")
	}
}

func scaleType(v any) string {
	switch v.(type) {
	case uint32:
		return "a whole number of 0 or more"
	case float64:
		return "a number"
	case int64:
		return "a whole number"
	case []string:
		return "a list of strings"
	}
	return "a string"
}

// settle makes lists that are not there empty ones, so that a scale that is read from a
// file is like one that is read from a cluster.
func settle(s *spec.Scale) *spec.Scale {
	if s == nil {
		return nil
	}
	if s.Schedules == nil {
		s.Schedules = []spec.ScaleSchedule{}
	}
	for i := range s.Schedules {
		if s.Schedules[i].Days == nil {
			s.Schedules[i].Days = []string{}
		}
	}
	return s
}

// shownScale is a scale for people: what is not at its default.
func shownScale(s *spec.Scale) string {
	if s == nil {
		return "none"
	}
	raw, err := yaml.Marshal(s)
	if err != nil {
		return err.Error()
	}
	var n yaml.Node
	if err := yaml.Unmarshal(raw, &n); err != nil {
		return err.Error()
	}
	flow(&n)
	raw, err = yaml.Marshal(&n)
	if err != nil {
		return err.Error()
	}
	return strings.Join(slices.Collect(strings.FieldsSeq(string(raw))), " ")
}

func flow(n *yaml.Node) {
	if n.Kind == yaml.MappingNode || n.Kind == yaml.SequenceNode {
		n.Style = yaml.FlowStyle
	}
	for _, c := range n.Content {
		flow(c)
	}
}
