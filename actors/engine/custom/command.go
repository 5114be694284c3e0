package custom

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Values take the placeholders' places. All of them are the node's own but Name, which is the
// deployment's and whose form the cluster has checked.
type Values struct {
	Port, Socket, Model, Name, Key string
	GPUs                           []string // UUIDs
	Context, Slots                 uint32
}

const optionsHere = "{options}"

var (
	placeholder  = regexp.MustCompile(`\{[a-z_]+\}`)
	placeholders = []string{"{port}", "{socket}", "{model}", "{name}", "{key}", "{gpus}", "{gpu_count}", "{context}", "{slots}"}
)

// Uses tells whether the command or its environment has a placeholder, such as {socket}.
func (p Preset) Uses(name string) bool {
	has := func(text string) bool { return strings.Contains(text, name) }
	return slices.ContainsFunc(p.Command, has) || slices.ContainsFunc(slices.Collect(maps.Values(p.Env)), has)
}

// A Fault is what is wrong with one option of a deployment.
type Fault struct {
	Option  string
	Unknown bool // there is no such option
	Reason  string
}

// Line is the arguments behind the program, and the environment as NAME=VALUE, sorted. p must have been
// checked. Of given, the option weights is left to the caller.
func (p Preset) Line(v Values, given map[string]string) (args, env []string, fault *Fault) {
	flags, fault := p.Flags(given)
	if fault != nil {
		return nil, nil, fault
	}
	for _, a := range p.Command[1:] {
		if a == optionsHere {
			args, flags = append(args, flags...), nil
			continue
		}
		args = append(args, v.fill(a))
	}
	args = append(args, flags...)
	for _, name := range slices.Sorted(maps.Keys(p.Env)) {
		env = append(env, name+"="+v.fill(p.Env[name]))
	}
	return args, env, nil
}

// fill puts the values in place, each once: what it puts in is not looked at again.
func (v Values) fill(text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(name string) string {
		switch name {
		case "{port}":
			return v.Port
		case "{socket}":
			return v.Socket
		case "{model}":
			return v.Model
		case "{name}":
			return v.Name
		case "{key}":
			return v.Key
		case "{gpus}":
			return strings.Join(v.GPUs, ",")
		case "{gpu_count}":
			return strconv.Itoa(len(v.GPUs))
		case "{context}":
			return strconv.FormatUint(uint64(v.Context), 10)
		case "{slots}":
			return strconv.FormatUint(uint64(v.Slots), 10)
		}
		return name
	})
}

// Flags are the arguments that a deployment's options make, in the options' order by name.
func (p Preset) Flags(given map[string]string) (args []string, fault *Fault) {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if name == Weights && p.Uses("{model}") {
			continue
		}
		o, ok := p.Options[name]
		if !ok {
			return nil, &Fault{Option: name, Unknown: true, Reason: "the preset has " + strings.Join(p.names(), ", ")}
		}
		value, wrong := o.Read(given[name])
		switch {
		case wrong != "":
			return nil, &Fault{Option: name, Reason: wrong}
		case o.Type == Bool && value == "on":
			args = append(args, o.Flag)
		case o.Type == Bool:
		case strings.HasSuffix(o.Flag, "={}"):
			args = append(args, strings.TrimSuffix(o.Flag, "{}")+value)
		default:
			args = append(args, o.Flag, value)
		}
	}
	return args, nil
}

// Types are the types of the options that a deployment may set, by name.
func (p Preset) Types() map[string]string {
	out := map[string]string{}
	for name, o := range p.Options {
		out[name] = o.Type
	}
	if p.Uses("{model}") {
		out[Weights] = String
	}
	return out
}

func (p Preset) names() []string {
	names := slices.Sorted(maps.Keys(p.Types()))
	if len(names) == 0 {
		return []string{"no options"}
	}
	return names
}

// Read is text as the option's argument, or what is wrong with it.
func (o Option) Read(text string) (value, wrong string) {
	switch o.Type {
	case Int:
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil || float64(n) < o.Min || float64(n) > o.Max {
			return "", fmt.Sprintf("must be a whole number from %.0f to %.0f", o.Min, o.Max)
		}
		return strconv.FormatUint(n, 10), ""
	case Float:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || !(n >= o.Min && n <= o.Max) || !digits(text) {
			return "", fmt.Sprintf("must be a number from %g to %g", o.Min, o.Max)
		}
		return strconv.FormatFloat(n, 'f', -1, 64), ""
	case String:
		most := int(o.Max)
		if most == 0 {
			most = defaultMax
		}
		if !plainText(text) || len(text) > most {
			return "", fmt.Sprintf("must be 1 to %d letters, digits and any of %q, beginning with a letter or a digit", most, textSigns)
		}
		return text, ""
	case Enum:
		if !slices.Contains(o.Values, text) {
			return "", "must be one of " + strings.Join(o.Values, ", ")
		}
		return text, ""
	case Bool:
		if text != "on" && text != "off" {
			return "", "must be on or off"
		}
		return text, ""
	}
	return "", "has no type"
}

// digits tells whether text is a decimal number without sign and exponent.
func digits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789.") == "" && text[0] != '.'
}

// textSigns are what free text may have beside letters and digits: nothing that leads to a file, is
// special to a shell or makes an option of it.
const textSigns = "._:+,=-"

func plainText(text string) bool {
	for i, c := range []byte(text) {
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !plain && (i == 0 || strings.IndexByte(textSigns, c) < 0) {
			return false
		}
	}
	return text != "" && !strings.Contains(text, "..")
}
