package engine

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/actors/engine/custom"
	"github.com/lotabots/lotabots/cluster/spec"
)

// namedConfig is a node's with the preset my-engine, a stand-in for vLLM, on a port or a socket.
func namedConfig(t *testing.T, where string) (Config, string) {
	t.Helper()
	config, _ := fakeConfig(t, "")
	path, record := fake(t, VLLM, "")
	address := map[string][]string{"{port}": {"--host", "127.0.0.1", "--port", "{port}"}, "{socket}": {"--uds", "{socket}"}}[where]
	config.Presets = []custom.Preset{{
		Name: "my-engine", Command: append([]string{path, "serve", "{model}", "{options}", "--name={name}", "-n", "{gpu_count}"}, address...),
		Env: map[string]string{"VLLM_API_KEY": "{key}"}, Ready: "/v1/models", Load: "vllm",
		Options: map[string]custom.Option{"seed": {Type: custom.Int, Max: 9, Flag: "--seed"}},
	}}
	if problems := custom.Check(config.Presets); problems != nil {
		t.Fatal(problems)
	}
	return config, record
}

func TestNamedPreset(t *testing.T) {
	for _, where := range []string{"{port}", "{socket}"} {
		config, record := namedConfig(t, where)
		s := demoSpec(3)
		s.Preset, s.Model, s.Options, s.Device = "my-engine", "", map[string]string{"weights": "m", "seed": "7"}, gpuA
		e := start(t, New(config), s)
		got := noted(t, record)[0]
		if want := "serve " + config.Models + "/m --seed 7 --name=lota -n 1"; !strings.HasPrefix(strings.Join(got.Args, " "), want+" --") {
			t.Errorf("%q, want %q", got.Args, want)
		}
		if !slices.Contains(got.Env, "CUDA_VISIBLE_DEVICES=GPU-a") {
			t.Error("it does not see its GPU")
		}
		if l, err := e.Load(t.Context()); err != nil || !l.Known || l.Running != 2 {
			t.Errorf("%+v, %v", l, err)
		}
		r, err := e.Do(t.Context(), "/v1/chat/completions", Head{}, []byte(`{}`))
		if err != nil || r.StatusCode != 200 {
			t.Fatalf("%v, %v", r, err)
		}
		r.Body.Close()
		if e.Slots() != 3 {
			t.Errorf("%d slots", e.Slots())
		}
	}
}

func TestNamedPresetIsChecked(t *testing.T) {
	config, _ := namedConfig(t, "{port}")
	p := New(config)
	good := Spec{Preset: "my-engine", Model: demo, ModelName: "lota"}
	if err := p.Check(good); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		change     func(*Spec)
		code, text string
	}{
		{func(s *Spec) { s.Preset = "other-engine" }, "engine_unavailable", "my-engine"},
		{func(s *Spec) { s.Preset = "my_engine" }, "engine_unknown", "embedded, ollama"},
		{func(s *Spec) { s.Preset = "vlm" }, "engine_unknown", "nearly"},
		{func(s *Spec) { s.Model = "" }, "invalid_request", "weights"},
		{func(s *Spec) { s.Options = map[string]string{"weights": "m"} }, "invalid_request", "weights"},
		{func(s *Spec) { s.Model, s.Options = "", map[string]string{"weights": "n"} }, "engine_unavailable", "no model"},
		{func(s *Spec) { s.Model, s.Options = "", map[string]string{"weights": "../m"} }, "invalid_request", "weights"},
		{func(s *Spec) { s.Options = map[string]string{"seed": "10"} }, "invalid_request", "from 0 to 9"},
		{func(s *Spec) { s.Options = map[string]string{"seed": "1\n"} }, "invalid_request", "control characters"},
		{func(s *Spec) { s.Options = map[string]string{"args": "--x"} }, "unsupported_parameter", "seed, weights"},
		{func(s *Spec) { s.ModelName = "--api-key" }, "invalid_request", "name"},
		{func(s *Spec) { s.ModelName = "a b" }, "invalid_request", "name"},
		{func(s *Spec) { s.Slots = 257 }, "invalid_request", "slots"},
	} {
		s := good
		c.change(&s)
		expect(t, p.Check(s), c.code, c.text)
		if e, err := p.Open(s); err == nil {
			t.Errorf("opened %v", e)
		}
	}
	// A gateway's node need not have it.
	if err := CheckDeployment("my-engine", map[string]string{"seed": "10"}, 0, 0); err != nil {
		t.Error(err)
	}
	if err := CheckDeployment("vllmm", nil, 0, 0); spec.CodeOf(err) != spec.CodeEngineUnknown {
		t.Errorf("a slip of the pen: %v", err)
	}
	if got := p.Names(); got[len(got)-1] != "my-engine" {
		t.Errorf("%q", got)
	}
}

// Whatever a deployment says, the program gets its own arguments, the model's path and what the typed
// options make: of every preset that runs programs here.
func FuzzDeploymentReachesNoArgument(f *testing.F) {
	f.Add("threads", "4", "lota", uint32(1), uint32(1))
	f.Add("seed", "7", "--api-key", uint32(0), uint32(0))
	f.Add("tool-parser", "--trust-remote-code", "lota", uint32(9), uint32(9))
	f.Add("weights", "../../etc", "lota", uint32(0), uint32(0))
	f.Add("dtype", "auto --x", "-c", uint32(0), uint32(300))
	f.Add("url", "file:///x", "a;b", uint32(0), uint32(0))
	config := Config{LlamaServer: "/bin/true", Ollama: "/bin/true", VLLM: "/bin/true", SGLang: "/bin/true", Triton: "/bin/true", Models: f.TempDir(), RunDir: f.TempDir(),
		Presets: []custom.Preset{{Name: "my-engine", Command: []string{"/bin/true", "{model}", "--port={port}", "{name}"},
			Options: map[string]custom.Option{"seed": {Type: custom.Int, Max: 9, Flag: "--seed"}, "word": {Type: custom.String, Flag: "--word"}}}}}
	p := New(config)
	f.Fuzz(func(t *testing.T, option, value, name string, context, slots uint32) {
		for _, preset := range []string{LlamaServer, VLLM, SGLang, Ollama, "my-engine"} {
			s := Spec{Instance: "i-1", Preset: preset, Model: demo, ModelName: name, Options: map[string]string{option: value}, Context: context, Slots: slots}
			opened, err := p.Open(s)
			if err != nil {
				continue
			}
			r, err := p.take(s.Instance)
			if err != nil {
				t.Fatal(err)
			}
			c, _, err := opened.(*local).driver.launch(r)
			r.leave()
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range c.args {
				if strings.ContainsFunc(a, func(c rune) bool { return c < ' ' || c > '~' }) && !strings.Contains(a, r.home) {
					t.Fatalf("%s: %q=%q for %q makes the argument %q", preset, option, value, name, a)
				}
				if strings.HasPrefix(a, "-") && (a == value || a == name) {
					t.Fatalf("%s: %q=%q for %q is an option of the program", preset, option, value, name)
				}
			}
			if c.path != "/bin/true" {
				t.Fatalf("%s: runs %q", preset, c.path)
			}
		}
	})
}

// A program that really computes, described as an operator would.
func TestNamedPresetComputes(t *testing.T) {
	_, libraries, err := presets(t, false, 0).config.embedded()
	if err != nil {
		t.Fatal(err)
	}
	p := New(Config{Shim: testShim, RunDir: t.TempDir(), Presets: []custom.Preset{{
		Name: "my-llama", Command: []string{helper(t), "serve", "--socket", "{socket}", "--model", "{model}", "--libraries", libraries, "--device", "cpu", "--slots", "{slots}", "--context", "{context}", "--name={name}"},
		Options: map[string]custom.Option{"threads": {Type: custom.Int, Min: 1, Max: 4, Flag: "--threads"}},
	}}})
	s := demoSpec(1)
	s.Preset, s.Options, s.Context = "my-llama", map[string]string{"threads": "1"}, 256
	e := start(t, p, s)
	r, err := e.Do(t.Context(), "/v1/chat/completions", Head{}, []byte(`{"temperature":0,"max_tokens":8,"messages":[{"role":"user","content":"Count from 1 to 5."}]}`))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if raw, err := io.ReadAll(r.Body); err != nil || r.StatusCode != 200 || !strings.Contains(string(raw), "assistant") {
		t.Errorf("%d: %s, %v", r.StatusCode, raw, err)
	}
}
