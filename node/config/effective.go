package config

import (
	"net/url"
	"strings"

	"github.com/lotabots/lotabots/actors/engine/custom"
)

// A Value is one key of a configuration as it is in force.
type Value struct {
	Key    string `json:"key"`
	Value  any    `json:"value"`  // durations as text; passwords in URLs are left out
	Source string `json:"source"` // default, file PATH, environment VARIABLE or flag --NAME
	Reload bool   `json:"reload"` // a running node takes a change
}

// Text is the value as a file has it.
func (v Value) Text() string { return Text(v.Value) }

// Effective is Load with the source of each value, in the schema's order. The
// values are there even where the error is Problems.
func Effective(s Sources) (Config, []Value, error) {
	c, origin, err := read(s)
	values := toMap(c)
	var out []Value
	for _, f := range Schema() {
		out = append(out, Value{Key: f.Key, Value: public(values[f.Key]), Source: origin[f.Key], Reload: f.Reload})
	}
	return c, out, err
}

// public is v without the passwords of URLs: no other key may have a secret.
func public(v any) any {
	switch v := v.(type) {
	case string:
		return publicText(v)
	case []string:
		out := make([]string, len(v))
		for i := range v {
			out[i] = publicText(v[i])
		}
		return out
	case []custom.Preset:
		return custom.Public(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = public(v[i])
		}
		return out
	}
	return v
}

func publicText(s string) string {
	if !strings.Contains(s, "://") {
		return s
	}
	if u, err := url.Parse(s); err == nil && u.User != nil {
		return u.Redacted()
	}
	return s
}
