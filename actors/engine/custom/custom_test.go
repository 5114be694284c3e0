package custom

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

const file = `
- name: my-vllm
  command: [/opt/vllm/bin/vllm, serve, "{model}", --port, "{port}", --host=127.0.0.1, "{options}", --served-model-name, "{name}", --json, '{"a": 1}']
  env: {VLLM_API_KEY: "{key}", GPUS: "{gpu_count}:{gpus}"}
  health: /health
  ready: /v1/models
  load: vllm
  capabilities: [chat, tools]
  options:
    seed: {type: int, min: 0, max: 100, flag: --seed}
    scale: {type: float, min: 0.5, max: 2, flag: "--rope-scale={}"}
    parser: {type: string, max: 20, flag: --tool-call-parser}
    quantization: {type: enum, values: [awq, fp8], flag: --quantization}
    eager: {type: bool, flag: --enforce-eager}
`

func parsed(t testing.TB, text string) []Preset {
	t.Helper()
	p, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if problems := Check(p); problems != nil {
		t.Fatal(problems)
	}
	return p
}

func TestLine(t *testing.T) {
	p := parsed(t, file)[0]
	args, env, fault := p.Line(Values{Port: "8001", Model: "/m/{key}", Name: "lota", Key: "secret", GPUs: []string{"GPU-a", "GPU-b"}},
		map[string]string{"seed": "007", "scale": "1.50", "parser": "hermes", "quantization": "fp8", "eager": "on", Weights: "m"})
	if fault != nil {
		t.Fatal(fault)
	}
	want := []string{"serve", "/m/{key}", "--port", "8001", "--host=127.0.0.1",
		"--enforce-eager", "--tool-call-parser", "hermes", "--quantization", "fp8", "--rope-scale=1.5", "--seed", "7",
		"--served-model-name", "lota", "--json", `{"a": 1}`}
	if !slices.Equal(args, want) {
		t.Errorf("%q, want %q", args, want)
	}
	if want := []string{"GPUS=2:GPU-a,GPU-b", "VLLM_API_KEY=secret"}; !slices.Equal(env, want) {
		t.Errorf("%q, want %q", env, want)
	}
	args, _, fault = p.Line(Values{}, map[string]string{"eager": "off"})
	if fault != nil || slices.Contains(args, "--enforce-eager") {
		t.Errorf("%q, %v", args, fault)
	}
}

func TestOptionsAreRefused(t *testing.T) {
	p := parsed(t, file)[0]
	for _, c := range []struct{ name, value string }{
		{"seed", "-1"}, {"seed", "101"}, {"seed", "+1"}, {"seed", "1 "}, {"seed", ""}, {"seed", "1e1"}, {"seed", "0x1"}, {"seed", "18446744073709551616"}, {"seed", "1_0"},
		{"scale", "NaN"}, {"scale", "Inf"}, {"scale", "-1"}, {"scale", "1e0"}, {"scale", "0.4"}, {"scale", ".5"}, {"scale", "1..2"}, {"scale", "0x1p0"},
		{"parser", "-x"}, {"parser", "--api-key"}, {"parser", "@file"}, {"parser", "a b"}, {"parser", "a;b"}, {"parser", "$(id)"}, {"parser", "`id`"}, {"parser", "a/b"}, {"parser", "a..b"},
		{"parser", "a\nb"}, {"parser", "a\x00"}, {"parser", "{key}"}, {"parser", "é"}, {"parser", ""}, {"parser", strings.Repeat("a", 21)}, {"parser", "'a'"}, {"parser", `a\b`}, {"parser", "=a"},
		{"quantization", "gptq"}, {"quantization", "--x"}, {"eager", "true"}, {"eager", "on --x"}, {"other", "1"}, {"--seed", "1"}, {"command", "sh"}, {"", ""},
	} {
		if args, fault := p.Flags(map[string]string{c.name: c.value}); fault == nil || args != nil || fault.Option != c.name {
			t.Errorf("%s=%q makes %q", c.name, c.value, args)
		}
	}
	none := parsed(t, "- {name: plain, command: [p, '{port}']}")[0]
	if _, fault := none.Flags(map[string]string{Weights: "m"}); fault == nil {
		t.Error("a preset without {model} takes weights")
	}
}

func TestPresetsAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"- {name: vllm, command: [p, '{port}']}":    "is nearly",
		"- {name: vllm2, command: [p, '{port}']}":   "is nearly",
		"- {name: My_vllm, command: [p, '{port}']}": "must be 2 to 40",
		"- {name: mine}": "command must have",
		"- {name: mine, command: ['', '{port}']}":                                                          "no program",
		"- {name: mine, command: ['{model}', '{port}']}":                                                   "no program",
		"- {name: mine, command: [p]}":                                                                     "one of {port} and {socket}",
		"- {name: mine, command: [p, '{port}', '{socket}']}":                                               "one of {port} and {socket}",
		"- {name: mine, command: [p, '{port}', '{command}']}":                                              "placeholder {command}",
		"- {name: mine, command: [p, '{port}', 'x{options}']}":                                             "placeholder {options}",
		"- {name: mine, command: [p, '{port}', '{options}', '{options}']}":                                 "twice",
		"- {name: mine, command: [p, '{port}'], env: {'A B': x}}":                                          "no variable's name",
		"- {name: mine, command: [p, '{port}'], env: {A: '{options}'}}":                                    "placeholder {options}",
		"- {name: mine, command: [p, '{port}'], health: '/../x'}":                                          "plain path",
		"- {name: mine, command: [p, '{port}'], health: 'http://x/'}":                                      "plain path",
		"- {name: mine, command: [p, '{port}'], load: prometheus}":                                         "load is",
		"- {name: mine, command: [p, '{port}'], capabilities: [fly]}":                                      "capabilities has",
		"- {name: mine, command: [p, '{port}'], options: {A: {type: bool, flag: -a}}}":                     "the name of option",
		"- {name: mine, command: [p, '{port}'], options: {weights: {type: bool, flag: -a}}}":               "there already",
		"- {name: mine, command: [p, '{port}'], options: {a: {type: bool, flag: a}}}":                      "flag is",
		"- {name: mine, command: [p, '{port}'], options: {a: {type: bool, flag: '-a={}'}}}":                "a flag alone",
		"- {name: mine, command: [p, '{port}'], options: {a: {type: int, flag: -a}}}":                      "needs min and max",
		"- {name: mine, command: [p, '{port}'], options: {a: {type: int, min: 0.5, max: 2, flag: -a}}}":    "needs min and max",
		"- {name: mine, command: [p, '{port}'], options: {a: {type: float, min: -1, max: 2, flag: -a}}}":   "in order",
		"- {name: mine, command: [p, '{port}'], options: {a: {type: float, min: .nan, max: 2, flag: -a}}}": "in order",
		"- {name: mine, command: [p, '{port}'], options: {a: {type: enum, flag: -a}}}":                     "needs values",
		"- {name: mine, command: [p, '{port}'], options: {a: {type: enum, values: [--b], flag: -a}}}":      "the first not '-'",
		"- {name: mine, command: [p, '{port}'], options: {a: {type: string, max: 1000, flag: -a}}}":        "may have max",
		"- {name: mine, command: [p, '{port}'], options: {a: {type: path, flag: -a}}}":                     "type is",
		"- {name: mine, command: [p, '{port}']}\n- {name: mine, command: [p, '{port}']}":                   "another of that name",
		"- {name: mine, command: [p, '{port}'], arguments: [x]}":                                           "arguments",
		"- {name: mine, command: [p, '{port}'], options: {a: {type: string, flag: -a, default: x}}}":       "default",
		"name: mine": "list",
	} {
		p, err := Parse([]byte(text))
		got := strings.Join(Check(p), "; ")
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestTextIsReadAgain(t *testing.T) {
	p := parsed(t, file)
	again := parsed(t, Text(p))
	if !reflect.DeepEqual(p, again) {
		t.Errorf("%+v\n%+v", p, again)
	}
	if Text(nil) != "[]" || strings.Contains(Text(p), "\n") {
		t.Error("it is not on one line")
	}
	if hidden := Text(Public(p)); strings.Contains(hidden, `"{key}"`) || !strings.Contains(hidden, "VLLM_API_KEY") || p[0].Env["VLLM_API_KEY"] != "{key}" {
		t.Errorf("%s", hidden)
	}
}

// Whatever a deployment sets, it makes no argument but the described flags and their values, and each
// value is what its type allows.
func FuzzOptions(f *testing.F) {
	for _, s := range [][2]string{{"seed", "7"}, {"scale", "1.5"}, {"parser", "hermes"}, {"parser", "--api-key=x"}, {"quantization", "awq"}, {"eager", "on"}, {"parser", "{key}"}, {"weights", "-x"}} {
		f.Add(s[0], s[1], "seed", "1")
	}
	p := parsed(f, file)[0]
	plain, _, _ := p.Line(Values{Port: "1", Model: "/m", Name: "n"}, nil)
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2 string) {
		given := map[string]string{name1: value1, name2: value2}
		args, env, fault := p.Line(Values{Port: "1", Model: "/m", Name: "n", Key: "secret"}, given)
		if fault != nil {
			if args != nil || env != nil {
				t.Fatalf("%q: a refusal with arguments", given)
			}
			return
		}
		const before = 5 // arguments that stand in front of the options
		added := len(args) - len(plain)
		if !slices.Equal(args[:before], plain[:before]) || !slices.Equal(args[before+added:], plain[before:]) || env[1] != "VLLM_API_KEY=secret" {
			t.Fatalf("%q changes what is not an option: %q", given, args)
		}
		for i := before; i < before+added; i++ {
			flag, value, joined := strings.Cut(args[i], "=")
			if !slices.Contains([]string{"--seed", "--rope-scale", "--tool-call-parser", "--quantization", "--enforce-eager"}, flag) {
				t.Fatalf("%q makes the argument %q", given, args[i])
			}
			if flag == "--enforce-eager" {
				continue
			}
			if !joined {
				i++
				value = args[i]
			}
			if value == "" || len(value) > 24 || value[0] == '-' || !utf8.ValidString(value) || strings.ContainsAny(value, " \t\r\n\x00/\\;&|$`'\"<>(){}[]*?~!#@%^") || strings.Contains(value, "secret") && !strings.Contains(value1+value2, "secret") {
				t.Fatalf("%q makes the value %q", given, value)
			}
		}
	})
}

// Descriptions come from the operator, and yet: what passes Check never panics, and reads back.
func FuzzParse(f *testing.F) {
	f.Add(file)
	f.Add("- {name: mine, command: [p, '{port}'], options: {a: {type: int, max: 1e300, flag: -a}}}")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse([]byte(text))
		if err != nil || Check(p) != nil {
			return
		}
		if again, err := Parse([]byte(Text(p))); err != nil || Check(again) != nil {
			t.Fatalf("%q: %v, %v", Text(p), err, Check(again))
		}
		for _, one := range p {
			given := map[string]string{}
			for name, o := range one.Options {
				for _, text := range append(o.Values, "1", "on", "a") {
					if _, wrong := o.Read(text); wrong == "" {
						given[name] = text
					}
				}
			}
			if _, _, fault := one.Line(Values{}, given); fault != nil {
				t.Fatalf("%+v", fault)
			}
		}
	})
}
