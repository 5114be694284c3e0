package engine

import (
	"slices"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	path, _ := fake(t, LlamaServer, "")
	p := New(Config{LlamaServer: path, Ollama: path, ExternalURLs: []string{"http://h:1"}})
	good := map[string]Spec{
		LlamaServer: {Preset: LlamaServer, Model: demo, Options: map[string]string{"threads": "4", "embeddings": "off"}},
		Ollama:      {Preset: Ollama, Model: demo, Options: map[string]string{"template": "{{ .Prompt }}", "gpu-layers": "0"}},
		External:    {Preset: External, Slots: 1000, Options: map[string]string{"url": "http://h:1/", "model": "m", "health": "/", "metrics": "sglang"}},
	}
	for _, s := range good {
		if err := p.Check(s); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
	for _, c := range []struct {
		change     func(*Spec)
		code, text string
	}{
		{func(s *Spec) { s.Preset = "vlm" }, "engine_unknown", "embedded, ollama, llama-server, vllm, sglang, triton, external"},
		{func(s *Spec) { s.Preset = "" }, "engine_unknown", ""},
		{func(s *Spec) { s.Model = "" }, "invalid_request", "model"},
		{func(s *Spec) { s.Slots = 257 }, "invalid_request", "slots"},
		{func(s *Spec) { s.Context = 1 << 31 }, "invalid_request", "context"},
		{func(s *Spec) { s.Options = map[string]string{"args": "--x"} }, "unsupported_parameter", "options.args"},
		{func(s *Spec) { s.Options = map[string]string{"threads": "0"} }, "invalid_request", "from 1 to 1024"},
		{func(s *Spec) { s.Options = map[string]string{"threads": "-1 --api-key x"} }, "invalid_request", "options.threads"},
		{func(s *Spec) { s.Options = map[string]string{"threads": "+1"} }, "invalid_request", "options.threads"},
		{func(s *Spec) { s.Options = map[string]string{"pooling": "--x"} }, "invalid_request", "none, mean"},
	} {
		s := good[LlamaServer]
		c.change(&s)
		expect(t, p.Check(s), c.code, c.text)
		if e, err := p.Open(s); err == nil {
			t.Errorf("opened %v", e)
		}
	}
	for name, value := range map[string]string{"health": "health", "metrics": "prometheus", "model": "", "template": "x"} {
		s := good[External]
		s.Options = map[string]string{"url": "http://h:1", name: value}
		if err := p.Check(s); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%q: %v", name, value, err)
		}
	}
	if got := p.Names(); !slices.Equal(got, []string{Embedded, Ollama, LlamaServer, VLLM, SGLang, Triton, External}) || len(optionsOf) != len(got) || len(drivers) != len(got)-1 {
		t.Errorf("%v", got)
	}
}
