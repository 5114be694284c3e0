package engine

import (
	"errors"
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

func TestAbilities(t *testing.T) {
	p := New(Config{Presets: []custom.Preset{{Name: "my-engine", Capabilities: []string{"tools", "chat"}}}})
	for _, c := range []struct {
		preset      string
		options     map[string]string
		can, cannot string // of what the cases differ in; the rest is not looked at
	}{
		{Embedded, nil, "chat completions embeddings tools json-schema", "kserve images transcription"},
		{Embedded, map[string]string{"embeddings": "off"}, "chat completions tools json-schema", "embeddings rerank kserve images transcription"},
		{Embedded, map[string]string{"pooling": "rank"}, "chat completions rerank tools json-schema", "embeddings kserve images transcription"},
		{LlamaServer, map[string]string{"embeddings": "on", "pooling": "rank"}, "rerank", "chat completions embeddings kserve transcription"},
		{LlamaServer, nil, "chat completions tools json-schema", "embeddings rerank kserve transcription"},
		{VLLM, map[string]string{"tool-parser": "hermes", "lora": "on"}, "chat completions tools json-schema", "kserve"},
		{VLLM, nil, "chat completions json-schema", "kserve"},
		{SGLang, map[string]string{"task": "embed", "sleep": "on"}, "embeddings", "chat completions kserve transcription"},
		{Triton, nil, "kserve", "chat completions embeddings rerank transcription"},
		{External, nil, "", ""}, {"my-engine", nil, "chat tools", ""}, {"other-engine", nil, "", ""},
	} {
		looked := spec.Ability(0)
		for _, name := range strings.Fields("chat completions embeddings rerank transcription kserve tools images json-schema") {
			looked |= spec.AbilityOf(name)
		}
		got := p.Abilities(c.preset, c.options)
		if can, cannot := got.Can&looked, got.Cannot&looked; can != abilitiesOf(t, c.can) || cannot != abilitiesOf(t, c.cannot) {
			t.Errorf("%s %q: can %s; cannot %s", c.preset, c.options, can, cannot)
		}
		if got.Can&got.Cannot != 0 {
			t.Errorf("%s %q: both can and cannot %s", c.preset, c.options, got.Can&got.Cannot)
		}
	}
}

// TestExternalStreams: engines elsewhere are asked for usage unless the deployment says that they refuse to be.
func TestExternalStreams(t *testing.T) {
	p := New(Config{})
	for given, want := range map[string]bool{"": true, "on": true, "off": false} {
		if got := p.Abilities(External, map[string]string{streamUsage: given}).Can&spec.AbleUsage != 0; got != want {
			t.Errorf("stream-usage %q: asked %v", given, got)
		}
	}
}

// TestExternalCapabilities: what an engine elsewhere can is what its deployment says of it.
func TestExternalCapabilities(t *testing.T) {
	p := New(Config{})
	for given, want := range map[string]string{"": "", "chat": "chat", "chat, tools,json-schema": "chat tools json-schema", "embeddings,rerank": "embeddings rerank", "continuation": "continuation"} {
		o := map[string]string{"url": "http://127.0.0.1:1", canOption: given}
		if given == "" {
			delete(o, canOption)
		}
		if err := CheckDeployment(External, o, 0, 0); err != nil {
			t.Errorf("%q: %v", given, err)
		}
		if got := p.Abilities(External, o).Can &^ spec.AbleUsage; got != abilitiesOf(t, want) {
			t.Errorf("%q: can %s", given, got)
		}
	}
	for _, given := range []string{"fly", "chat;tools", "sleep", "chat,", "lora", ","} {
		var e *spec.Error
		if err := CheckDeployment(External, map[string]string{"url": "http://127.0.0.1:1", canOption: given}, 0, 0); !errors.As(err, &e) || e.Param != "options.capabilities" {
			t.Errorf("%q: %v", given, err)
		}
	}
}

func abilitiesOf(t *testing.T, names string) (a spec.Ability) {
	for _, name := range strings.Fields(names) {
		if spec.AbilityOf(name) == 0 {
			t.Fatalf("%q is no ability", name)
		}
		a |= spec.AbilityOf(name)
	}
	return a
}

// TestRunningEnginesKnowBetter: what a program tells of its model counts more than its preset.
func TestRunningEnginesKnowBetter(t *testing.T) {
	config, _ := fakeConfig(t, "")
	s := demoSpec(1)
	s.Preset, s.Options = VLLM, map[string]string{"task": "embed"}
	if e, ok := As[Able](start(t, New(config), s)); !ok || e.Abilities() != abilities(VLLM, s.Options) {
		t.Error("a running engine does not tell what its preset can")
	}
	for _, c := range []struct {
		told        []string
		can, cannot string
	}{
		{nil, "", ""},
		{[]string{"completion", "tools"}, "chat completions tools", "images audio"},
		{[]string{"embedding"}, "embeddings", "chat completions tools images audio"},
		{[]string{"completion", "vision", "thinking"}, "chat completions images", "tools audio"},
	} {
		if got := ollamaAble(c.told); got.Can != abilitiesOf(t, c.can) || got.Cannot != abilitiesOf(t, c.cannot) {
			t.Errorf("%q: can %s; cannot %s", c.told, got.Can, got.Cannot)
		}
	}
	if got := toldAble(map[string]bool{"chat": false, "tools": true, "flying": true}); got.Can != spec.AbleTools || got.Cannot != spec.AbleChat {
		t.Errorf("can %s; cannot %s", got.Can, got.Cannot)
	}
}
