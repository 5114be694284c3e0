package custom

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
)

// BuiltIn are the names that presets of one's own may not have, nor resemble: a slip of the pen
// in a deployment is to be told at once, and not to wait for a node that has such a preset.
var BuiltIn = []string{"embedded", "ollama", "llama-server", "vllm", "sglang", "triton", "external"}

// Capabilities are what a preset may say that it can.
var Capabilities = spec.Ability(math.MaxUint32).Names()

// Loads are the kinds of metrics that are known.
var Loads = []string{"llama-server", "sglang", "tgi", "vllm"}

// Weights is the option that every preset with {model} has: it names a model of the node's own.
const Weights = "weights"

const (
	maxPresets   = 64
	maxArguments = 256
	maxArgument  = 4 << 10
	maxOptions   = 64
	maxString    = 256 // of an option's value
	defaultMax   = 64
	maxNumber    = 1 << 53
)

var (
	nameForm   = regexp.MustCompile(`^[a-z][a-z0-9-]{1,39}$`)
	optionForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`)
	envForm    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,99}$`)
	flagForm   = regexp.MustCompile(`^--?[A-Za-z0-9][A-Za-z0-9._-]{0,99}(=\{\})?$`)
	pathForm   = regexp.MustCompile(`^(/[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,99})+$`)
)

// NameError tells why no preset can be called name; "": one can.
func NameError(name string) string {
	if !nameForm.MatchString(name) {
		return "must be 2 to 40 of a-z, 0-9 and '-', beginning with a letter"
	}
	for _, known := range BuiltIn {
		if distance(name, known) <= 2 {
			return fmt.Sprintf("is, or is nearly, the name of the preset %s: choose one that differs in three letters", known)
		}
	}
	return ""
}

// Check lists what is wrong with presets.
func Check(presets []Preset) (problems []string) {
	if len(presets) > maxPresets {
		return []string{fmt.Sprintf("there are %d; at most %d may be", len(presets), maxPresets)}
	}
	seen := map[string]bool{}
	for i, p := range presets {
		bad := func(format string, args ...any) {
			problems = append(problems, fmt.Sprintf("entry %d (%.40q): ", i+1, p.Name)+fmt.Sprintf(format, args...))
		}
		if text := NameError(p.Name); text != "" {
			bad("its name %s", text)
		}
		if seen[p.Name] {
			bad("there is another of that name")
		}
		seen[p.Name] = true
		p.check(bad)
	}
	return problems
}

func (p Preset) check(bad func(format string, args ...any)) {
	p.checkCommand(bad)
	for _, at := range []struct{ key, path string }{{"health", p.Health}, {"ready", p.Ready}} {
		if at.path != "" && (!pathForm.MatchString(at.path) || len(at.path) > maxString) {
			bad("%s is %.60q; it must be a plain path, beginning with '/'", at.key, at.path)
		}
	}
	if p.Load != "" && !slices.Contains(Loads, p.Load) {
		bad("load is %.60q; it must be one of %s", p.Load, strings.Join(Loads, ", "))
	}
	for _, c := range p.Capabilities {
		if !slices.Contains(Capabilities, c) {
			bad("capabilities has %.60q; there are %s", c, strings.Join(Capabilities, ", "))
		}
	}
	if len(p.Options) > maxOptions {
		bad("it has %d options; at most %d may be", len(p.Options), maxOptions)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Options)) {
		switch text := p.Options[name].check(); {
		case !optionForm.MatchString(name):
			bad("the name of option %.60q must be 1 to 40 of a-z, 0-9 and '-', beginning with a letter", name)
		case name == Weights:
			bad("the option weights is there already: it names a model of the node's own")
		case text != "":
			bad("option %s: %s", name, text)
		}
	}
}

func (p Preset) checkCommand(bad func(format string, args ...any)) {
	if len(p.Command) == 0 || len(p.Command) > maxArguments {
		bad("command must have 1 to %d entries: a program and its arguments", maxArguments)
		return
	}
	if program := p.Command[0]; program == "" || strings.HasPrefix(program, "-") || strings.ContainsAny(program, "{}") {
		bad("command begins with %.60q, which is no program", program)
	}
	uses, flags := map[string]int{}, 0
	look := func(what, text string) {
		if len(text) > maxArgument || strings.IndexByte(text, 0) >= 0 {
			bad("%s is too long or has a NUL", what)
		}
		for _, name := range placeholder.FindAllString(text, -1) {
			if !slices.Contains(placeholders, name) {
				bad("%s has the placeholder %s; there are %s", what, name, strings.Join(placeholders, ", "))
			}
			uses[name]++
		}
	}
	for i, a := range p.Command[1:] {
		if a == optionsHere {
			flags++
			continue
		}
		look(fmt.Sprintf("argument %d", i+1), a)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Env)) {
		if !envForm.MatchString(name) {
			bad("env has %.60q, which is no variable's name", name)
		}
		look("the variable "+name, p.Env[name])
	}
	if flags > 1 {
		bad("command has %s twice", optionsHere)
	}
	if (uses["{port}"] > 0) == (uses["{socket}"] > 0) {
		bad("command or env must have one of {port} and {socket}: the engine is reached there")
	}
}

func (o Option) check() string {
	if !flagForm.MatchString(o.Flag) {
		return fmt.Sprintf("flag is %.60q; it must be like --name or --name={}", o.Flag)
	}
	if math.IsNaN(o.Min) || math.IsNaN(o.Max) || o.Min < 0 || o.Max < o.Min || o.Max > maxNumber {
		return fmt.Sprintf("min and max are %g and %g; they must be in order, from 0 to 2^53", o.Min, o.Max)
	}
	ranged, listed := o.Min != 0 || o.Max != 0, len(o.Values) > 0
	switch o.Type {
	case Int, Float:
		if listed || o.Type == Int && (o.Min != math.Trunc(o.Min) || o.Max != math.Trunc(o.Max)) || !ranged {
			return "it needs min and max, whole for int, and has no values"
		}
	case String:
		if listed || o.Min != 0 || o.Max > maxString || o.Max != math.Trunc(o.Max) {
			return fmt.Sprintf("it may have max, the most bytes, up to %d, and nothing else", maxString)
		}
	case Enum:
		if !listed || ranged {
			return "it needs values, and has neither min nor max"
		}
		for _, v := range o.Values {
			if v == "" || len(v) > maxString || strings.HasPrefix(v, "-") || !printable(v) {
				return fmt.Sprintf("the value %.60q must have 1 to %d printable bytes, the first not '-'", v, maxString)
			}
		}
	case Bool:
		if listed || ranged || strings.Contains(o.Flag, "{}") {
			return "it has a flag alone"
		}
	default:
		return fmt.Sprintf("type is %.60q; it must be int, float, string, enum or bool", o.Type)
	}
	return ""
}

// printable tells whether text is of visible ASCII and spaces.
func printable(text string) bool {
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// distance is Levenshtein's, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
