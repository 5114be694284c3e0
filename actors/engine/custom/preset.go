package custom

import (
	"bytes"
	"encoding/json"
	"fmt"

	"gopkg.in/yaml.v3"
)

// A Preset is a program, as the operator of a node describes it.
type Preset struct {
	Name string `yaml:"name" json:"name"`

	// Command is the program, by its path or as PATH has it, and its arguments. They, and the values of
	// Env, may have placeholders: {port} or {socket}, {model}, {name}, {key}, {gpus}, {gpu_count},
	// {context}, {slots}. The argument {options} stands for the flags of the deployment's options, which
	// else come last.
	Command []string          `yaml:"command" json:"command"`
	Env     map[string]string `yaml:"env,omitempty" json:"env,omitempty"`

	Health string `yaml:"health,omitempty" json:"health,omitempty"` // path that answers 2xx while all is well; empty: /health
	Ready  string `yaml:"ready,omitempty" json:"ready,omitempty"`   // path that answers 2xx once it can serve; empty: Health
	Load   string `yaml:"load,omitempty" json:"load,omitempty"`     // whose metrics it has at /metrics, such as vllm; empty: none

	Capabilities []string          `yaml:"capabilities,omitempty" json:"capabilities,omitempty"`
	Options      map[string]Option `yaml:"options,omitempty" json:"options,omitempty"`
}

// Types of options.
const (
	Int    = "int"    // from Min to Max
	Float  = "float"  // from Min to Max
	String = "string" // of at most Max bytes; see plainText
	Enum   = "enum"   // one of Values
	Bool   = "bool"   // on or off; on adds the flag alone
)

// An Option is what a deployment may set.
type Option struct {
	Type   string   `yaml:"type" json:"type"`
	Min    float64  `yaml:"min,omitempty" json:"min,omitempty"`
	Max    float64  `yaml:"max,omitempty" json:"max,omitempty"`
	Values []string `yaml:"values,omitempty" json:"values,omitempty"`

	// Flag is --name, before the value as an argument of its own, or has {} in the value's place.
	Flag string `yaml:"flag" json:"flag"`
}

// Parse reads a list of presets in YAML or JSON. Keys that it does not know are errors.
func Parse(text []byte) ([]Preset, error) {
	var out []Preset
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&out); err != nil {
		return nil, fmt.Errorf("no list of presets: %w", err)
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}

// Decode is Parse of what a YAML parser has made of the text.
func Decode(raw any) ([]Preset, error) {
	if raw == nil {
		return nil, nil
	}
	if text, ok := raw.(string); ok {
		return Parse([]byte(text))
	}
	text, err := json.Marshal(raw)
	if err != nil {
		return nil, fmt.Errorf("no list of presets: %w", err)
	}
	return Parse(escaped(text))
}

// Text is presets as a file has them, on one line.
func Text(presets []Preset) string {
	if len(presets) == 0 {
		return "[]"
	}
	raw, err := json.Marshal(presets) // which is YAML too
	if err != nil {
		return "[]" // strings and finite numbers do not fail; Check refuses others
	}
	return string(escaped(raw))
}

// escaped is JSON that YAML reads as the same: it has no use for some characters as they are.
func escaped(raw []byte) []byte {
	var out bytes.Buffer
	for _, r := range string(raw) {
		switch {
		case r < 0x7f:
			out.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			fmt.Fprintf(&out, `\U%08x`, r)
		}
	}
	return out.Bytes()
}

// Public is presets without the values of their environments, which may be secret.
func Public(presets []Preset) []Preset {
	out := make([]Preset, len(presets))
	for i, p := range presets {
		out[i] = p
		out[i].Env = nil
		for name := range p.Env {
			if out[i].Env == nil {
				out[i].Env = map[string]string{}
			}
			out[i].Env[name] = "***"
		}
	}
	return out
}
