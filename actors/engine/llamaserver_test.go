package engine

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/cluster/spec"
)

// How llama-server is called, by a stand-in that records it.
func TestLlamaServerCommand(t *testing.T) {
	model, err := filepath.Abs(demo)
	if err != nil {
		t.Fatal(err)
	}
	gpu := device.Device{Kind: device.KindNVIDIA, UUID: "GPU-8f3c", Index: 2}
	for name, c := range map[string]struct {
		change func(*Spec)
		want   string // the arguments behind the address
		env    []string
	}{
		"defaults": {func(*Spec) {}, "--metrics -np 4 -c 32768 -ngl 0 --alias lota -t 1", []string{"CUDA_VISIBLE_DEVICES=-1"}},
		"on a GPU": {func(s *Spec) { s.Device, s.Slots, s.Context = gpu, 2, 512 }, "--metrics -np 2 -c 1024 -ngl 999 --alias lota -t 1",
			[]string{"CUDA_VISIBLE_DEVICES=GPU-8f3c", "CUDA_DEVICE_ORDER=PCI_BUS_ID"}},
		"on two GPUs": {func(s *Spec) { s.Device, s.Others = gpu, []device.Device{gpuB} }, "--metrics -np 4 -c 32768 -ngl 999 --alias lota -t 1",
			[]string{"CUDA_VISIBLE_DEVICES=GPU-8f3c,GPU-b"}},
		"options": {func(s *Spec) {
			s.ModelName = ""
			s.Options = map[string]string{"embeddings": "on", "pooling": "mean", "gpu-layers": "7", "threads": "1"}
		}, "--metrics -np 4 -c 32768 -ngl 7 -t 1 --embeddings -ub 2048 --pooling mean", nil},
		"embeddings of a model that says no pooling": {func(s *Spec) { s.Context, s.Options = 1024, map[string]string{"embeddings": "on", "threads": "1"} },
			"--metrics -np 4 -c 4096 -ngl 0 --alias lota -t 1 --embeddings -ub 1024 --pooling mean", []string{"LLAMA_ARG_CACHE_RAM=256", "LLAMA_ARG_UI=0"}},
	} {
		p, record := fakeServer(t, "", 0)
		s := serverSpec()
		c.change(&s)
		start(t, p, s)
		got := noted(t, record)[0]
		if len(got.Args) < 6 || flag(got.Args, "-m") != model || flag(got.Args, "--host") != "127.0.0.1" || strings.Join(got.Args[6:], " ") != c.want {
			t.Errorf("%s: %q, want %q", name, got.Args, c.want)
		}
		for _, want := range c.env {
			if !slices.Contains(got.Env, want) {
				t.Errorf("%s: the program does not see %s", name, want)
			}
		}
	}
}

// Where the program knows sockets it listens on one, whose name is as it wants it.
func TestLlamaServerOnASocket(t *testing.T) {
	p, record := fakeServer(t, "socket", 0)
	e := start(t, p, serverSpec())
	if got := noted(t, record)[0].Args; flag(got, "--host") != serverSocket || flag(got, "--port") != "" {
		t.Errorf("%q", got)
	}
	w := e.mu.web
	again, err := keep(e.spec, w).web(&room{dir: filepath.Dir(e.presets.config.RunDir), here: mustOpen(t, filepath.Join(e.presets.config.RunDir, "lota-1.d", homeName))})
	if err != nil || again.socket != serverSocket || e.Healthy(t.Context()) != nil {
		t.Errorf("%+v, %v", again, err)
	}
}

func mustOpen(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestSaysPooling(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.gguf")
	if err := os.WriteFile(path, []byte("GGUF...bert.pooling_type..."), 0o600); err != nil {
		t.Fatal(err)
	}
	if !saysPooling(path) || saysPooling(demo) || saysPooling("/none") {
		t.Error("models are not told apart by what they say of pooling")
	}
}

// The stand-in has two slots of 1024 tokens, though four of 8192 were asked for, and wants the key.
func TestLlamaServer(t *testing.T) {
	p, _ := fakeServer(t, "", 0)
	e := start(t, p, serverSpec())
	if e.Slots() != 2 || e.Context() != 1024 {
		t.Errorf("%d slots of %d tokens", e.Slots(), e.Context())
	}
	if l, err := e.Load(t.Context()); err != nil || l != (Load{Known: true, Running: 1, Queued: 3, DecodeTPS: 12.5, Resident: l.Resident}) {
		t.Errorf("%+v, %v", l, err)
	}
	r, err := e.Do(t.Context(), "/v1/chat/completions", Head{}, []byte(`{}`))
	if err != nil || r.StatusCode != 200 {
		t.Fatalf("%v, %v", r, err)
	}
	r.Body.Close()
}

func TestProgramsAreUnavailable(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, preset := range []string{LlamaServer, Ollama, VLLM, SGLang} {
		s := demoSpec(1)
		s.Preset = preset
		expect(t, New(Config{}).Check(s), "engine_unavailable", "engines."+preset)
		expect(t, New(Config{LlamaServer: "/no/such", Ollama: "/no/such", VLLM: "/no/such", SGLang: "/no/such"}).Check(s), "engine_unavailable", "/no/such")
	}
}

// Tokens of a chat are those of its text by the template, told in vLLM's form.
func TestLlamaServerCounts(t *testing.T) {
	p, _ := fakeServer(t, "", 0)
	e := start(t, p, serverSpec())
	for body, want := range map[string]string{
		`{"model":"m","messages":[{"role":"user","content":"hi"}]}`: `{"count":8,"tokens":[0,0,0,0,0,0,0,0]}`,
		`{"prompt":"abc"}`: `{"count":3,"tokens":[0,0,0]}`,
		`{"prompt":""}`:    `{"count":0,"tokens":[]}`,
	} {
		resp, err := e.Do(t.Context(), TokenizePath, Head{}, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		if resp.Body.Close(); resp.StatusCode != http.StatusOK || string(got) != want {
			t.Errorf("%s: %d %s", body, resp.StatusCode, got)
		}
	}
	if _, err := e.Do(t.Context(), TokenizePath, Head{}, []byte("{")); spec.CodeOf(err) != spec.CodeInvalidJSON {
		t.Error(err)
	}
}
