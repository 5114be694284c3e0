package engine

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/actors/engine/custom"
	"github.com/lotabots/lotabots/cluster/spec"
)

func TestAdaptersAndSleep(t *testing.T) {
	path := t.TempDir()
	if err := os.WriteFile(filepath.Join(path, "adapter_model.safetensors"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for preset, want := range map[string][]string{
		VLLM:   {"/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/sleep", "/wake_up"},
		SGLang: {"/load_lora_adapter", "/unload_lora_adapter", "/release_memory_occupation", "/resume_memory_occupation"},
	} {
		config, record := fakeConfig(t, "")
		s := demoSpec(1)
		s.Preset, s.Options = preset, map[string]string{"lora": "on", "sleep": "on"}
		var e Engine = start(t, New(config), s)
		for _, err := range []error{
			e.(Adapters).LoadAdapter(t.Context(), "fr", path), e.(Adapters).UnloadAdapter(t.Context(), "fr"),
			e.(Sleeper).Sleep(t.Context()), e.(Sleeper).Wake(t.Context()),
		} {
			if err != nil {
				t.Errorf("%s: %v", preset, err)
			}
		}
		var asked []string
		for _, c := range noted(t, record[preset])[1:] {
			asked = append(asked, c.Path)
			if strings.HasSuffix(c.Path, "/load_lora_adapter") && c.Body != `{"lora_name":"fr","lora_path":"`+path+`"}` {
				t.Errorf("%s: %s", preset, c.Body)
			}
		}
		if !slices.Equal(asked, want) {
			t.Errorf("%s: asked %q, want %q", preset, asked, want)
		}
		if err := e.(Adapters).LoadAdapter(t.Context(), "fr", t.TempDir()); spec.CodeOf(err) != spec.CodeEngineUnavailable {
			t.Errorf("%s: an adapter without safetensors: %v", preset, err)
		}
		if err := e.(Adapters).LoadAdapter(t.Context(), "a/b", path); spec.CodeOf(err) != spec.CodeInvalidRequest {
			t.Errorf("%s: a name with a slash: %v", preset, err)
		}
	}
	config, _ := fakeConfig(t, "")
	s := demoSpec(1)
	s.Preset = VLLM
	e := start(t, New(config), s)
	if err := e.Sleep(t.Context()); spec.CodeOf(err) != spec.CodeUnsupported {
		t.Errorf("it was not deployed so: %v", err)
	}
}

func TestCapabilities(t *testing.T) {
	p := New(Config{Presets: []custom.Preset{{Name: "my-engine", Capabilities: []string{"tools", "chat"}}}})
	for _, c := range []struct {
		preset  string
		options map[string]string
		want    string
	}{
		{Embedded, nil, "chat completions continuation embeddings lora"},
		{Embedded, map[string]string{"embeddings": "off"}, "chat completions continuation lora"},
		{LlamaServer, map[string]string{"embeddings": "on", "pooling": "rank"}, "rerank"},
		{VLLM, map[string]string{"tool-parser": "hermes", "lora": "on"}, "chat completions continuation lora tools"},
		{SGLang, map[string]string{"task": "embed", "sleep": "on"}, "embeddings sleep"},
		{Triton, nil, ""}, {External, nil, ""}, {"my-engine", nil, "chat tools"}, {"other-engine", nil, ""},
	} {
		got := p.Capabilities(c.preset, c.options)
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s %q: %q", c.preset, c.options, got)
		}
		for _, one := range got {
			if !slices.Contains(custom.Capabilities, one) {
				t.Errorf("%s is no capability", one)
			}
		}
	}
}
