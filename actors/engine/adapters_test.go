package engine

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
)

// tarOf writes an archive of files, by name and content.
func tarOf(t *testing.T, files ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		h := &tar.Header{Name: files[i], Mode: 0o777, Size: int64(len(files[i+1])), Typeflag: tar.TypeReg}
		if strings.HasPrefix(files[i+1], "-> ") {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, files[i+1][3:], 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(files[i+1])); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "adapter.tar")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUnpackTakesTwoFilesAlone(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	dir := filepath.Join(t.TempDir(), "lora-fr")
	for range 2 { // the second time over the first
		err := unpack(tarOf(t, "fr/adapter_config.json", "{}", "../../evil", "x", outside, "x", "run.py", "x", "adapter_model.bin", "x",
			"fr/adapter_model.safetensors", "w", "adapter_config.json", "second"), dir)
		if err != nil {
			t.Fatal(err)
		}
	}
	entries, _ := os.ReadDir(dir)
	config, _ := os.ReadFile(filepath.Join(dir, "adapter_config.json"))
	if len(entries) != 2 || string(config) != "{}" {
		t.Errorf("unpacked %v, %q", entries, config)
	}
	if _, err := os.Stat(outside); err == nil {
		t.Error("a file was written outside")
	}
	for name, file := range map[string]string{
		"no weights": tarOf(t, "adapter_config.json", "{}"), "nothing": tarOf(t), "no tar": demo,
		"links": tarOf(t, "adapter_config.json", "-> /etc/passwd", "adapter_model.safetensors", "-> /etc/passwd"),
	} {
		if err := unpack(file, dir); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte("adapter_config.json"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		root := t.TempDir()
		file, dir := filepath.Join(root, "in"), filepath.Join(root, "out")
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		err := unpack(file, dir)
		if found, _ := filepath.Glob(filepath.Join(root, "*")); len(found) > 2 {
			t.Errorf("written: %q", found)
		}
		if entries, _ := os.ReadDir(dir); err == nil && len(entries) != 2 {
			t.Errorf("no error, and %d files", len(entries))
		}
	})
}

// TestAdaptersOfATar: what was imported as one file is a directory to vLLM and SGLang,
// which are told whose request it is by the model's name, whatever the client wrote.
func TestAdaptersOfATar(t *testing.T) {
	for _, preset := range []string{VLLM, SGLang} {
		config, record := fakeConfig(t, "")
		s := demoSpec(1)
		s.Preset, s.Options = preset, map[string]string{"lora": "on", MaxAdapters: "3"}
		e := start(t, New(config), s)
		if err := e.LoadAdapter(t.Context(), "fr", tarOf(t, "adapter_config.json", "{}", "adapter_model.safetensors", "w")); err != nil {
			t.Fatal(preset, err)
		}
		calls := noted(t, record[preset])
		last := calls[len(calls)-1]
		if !strings.Contains(last.Body, `/lora-fr"`) {
			t.Errorf("%s: asked %s", preset, last.Body)
		}
		dir := e.driver.(interface{ unpacked(string) string }).unpacked("fr")
		if !hasSafetensors(dir) {
			t.Errorf("%s: %s has no safetensors", preset, dir)
		}
		if err := e.UnloadAdapter(t.Context(), "fr"); err != nil || hasSafetensors(dir) {
			t.Errorf("%s: unloaded: %v, files left %v", preset, err, hasSafetensors(dir))
		}
		for adapter, want := range map[string]string{"fr": `{"model":"fr","MODEL":"fr"}`, "": `{"model":"lota","MODEL":"lota"}`} {
			body, err := e.adapted("/v1/completions", &Head{Adapter: adapter}, []byte(`{"model":"fr","MODEL":"secret"}`))
			if err != nil || string(body) != want {
				t.Errorf("%s, adapter %q: %s, %v", preset, adapter, body, err)
			}
		}
		if err := e.LoadAdapter(t.Context(), "de", demo); spec.CodeOf(err) != spec.CodeEngineUnavailable {
			t.Errorf("%s: a GGUF: %v", preset, err)
		}
	}
}

// TestTheNextProcessKnowsOfAdapters: an engine that is taken over is told of adapters,
// and of salts, as by the process that started it.
func TestTheNextProcessKnowsOfAdapters(t *testing.T) {
	r := &room{dir: t.TempDir()}
	for _, preset := range []string{VLLM, SGLang, Embedded} {
		config, _ := fakeConfig(t, "")
		s := demoSpec(1)
		s.Preset = preset
		o := options{}
		if preset != Embedded {
			o["lora"] = "on"
		}
		d, err := drivers[preset](s, o, config)
		if err != nil {
			t.Skip(preset, err)
		}
		back, ok := d.(returning)
		if !ok {
			t.Fatalf("%s keeps nothing", preset)
		}
		w := &web{}
		back.again(w, r)
		if preset == Embedded && !(w.salted && w.adapted) {
			t.Errorf("%s is told of neither: %+v", preset, w)
		}
		if u, ok := d.(interface{ unpacked(string) string }); ok && !strings.HasPrefix(u.unpacked("fr"), r.dir+"/") {
			t.Errorf("%s unpacks into %s", preset, u.unpacked("fr"))
		}
	}
}

func TestLlamaServersAdapters(t *testing.T) {
	s := Spec{Adapters: []AdapterFile{{"fr", "/a"}, {"de", "/b"}}}
	e, bare := &llamaServer{spec: s}, &llamaServer{}
	const in = `{"model":"x","lora":[{"id":1,"scale":9}],"n":1}`
	for _, c := range []struct {
		e             *llamaServer
		path, adapter string
		want          string // empty: refused
	}{
		{e, "/v1/completions", "de", `{"model":"x","lora":[{"id":1,"scale":1}],"n":1}`},
		{e, "/v1/chat/completions", "fr", `{"model":"x","lora":[{"id":0,"scale":1}],"n":1}`},
		{e, "/v1/completions", "", `{"model":"x","lora":[],"n":1}`},
		{e, "/v1/embeddings", "", in}, {bare, "/v1/completions", "", in},
		{e, "/v1/embeddings", "fr", ""}, {e, "/v1/completions", "es", ""}, {bare, "/v1/completions", "fr", ""},
	} {
		out, err := c.e.adapterBody(c.path, []byte(in), c.adapter)
		if (err == nil) != (c.want != "") || err == nil && string(out) != c.want {
			t.Errorf("%s for %q: %s, %v", c.path, c.adapter, out, err)
		}
	}
	command, _, err := (&llamaServer{spec: s.withDefaults()}).launch(&room{dir: t.TempDir()})
	if args := strings.Join(command.args, " "); err != nil || !strings.Contains(args, "--lora /a --lora /b --lora-init-without-apply") {
		t.Errorf("%s, %v", args, err)
	}
}

func TestWhoTakesAdapters(t *testing.T) {
	on := map[string]string{"lora": "on"}
	for _, c := range []struct {
		preset  string
		options map[string]string
		ok      bool
	}{
		{Embedded, nil, true}, {LlamaServer, nil, true}, {VLLM, on, true}, {SGLang, on, true}, {VLLM, nil, false},
		{VLLM, map[string]string{"lora": "on", "task": "embed"}, false}, {LlamaServer, map[string]string{"embeddings": "on"}, false},
		{Ollama, nil, false}, {Triton, nil, false}, {External, nil, false}, {"my-engine", nil, false},
	} {
		if err := CheckAdapters(c.preset, c.options); (err == nil) != c.ok || err != nil && spec.CodeOf(err) != spec.CodeUnsupported {
			t.Errorf("%s %v: %v", c.preset, c.options, err)
		}
	}
}
