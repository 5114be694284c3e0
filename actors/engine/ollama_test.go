package engine

import (
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// What Ollama is asked, by a stand-in that records it: these calls, in this order.
func TestOllamaCalls(t *testing.T) {
	for name, c := range map[string]struct {
		mode   string
		change func(*Spec)
		want   []string
	}{
		"a chat model": {"", func(*Spec) {}, []string{
			` serve`,
			`/api/create {"model":"lota","files":{"model.gguf":"DIGEST"},"parameters":{"num_ctx":8192,"num_thread":1},"stream":false}`,
			`/api/show {"model":"lota"}`,
			`/api/create {"model":"lota","files":{"model.gguf":"DIGEST"},"parameters":{"num_ctx":1024,"num_thread":1},"stream":false}`,
			`/api/generate {"model":"lota","keep_alive":-1,"stream":false}`,
			`/v1/chat/completions {"model":"lota","n":1}`,
		}},
		"one that embeds, with options": {"embeds", func(s *Spec) {
			s.ModelName, s.Context = "a:b/c", 100
			s.Options = map[string]string{"template": "{{ .Prompt }}", "gpu-layers": "0"}
		}, []string{
			` serve`,
			`/api/create {"model":"model","files":{"model.gguf":"DIGEST"},"template":"{{ .Prompt }}","parameters":{"num_ctx":100,"num_gpu":0,"num_thread":1},"stream":false}`,
			`/api/show {"model":"model"}`,
			`/api/generate {"model":"model","keep_alive":-1,"stream":false}`,
			`/api/embed {"model":"model","keep_alive":-1,"input":"a","stream":false}`,
			`/v1/chat/completions {"model":"model","n":1}`,
		}},
	} {
		path, record := fake(t, Ollama, c.mode)
		p := New(Config{Shim: testShim, Ollama: path, RunDir: t.TempDir()})
		s := demoSpec(3)
		s.Preset = Ollama
		c.change(&s)
		e := start(t, p, s)
		r, err := e.Do(t.Context(), "/v1/chat/completions", Head{}, []byte(`{"model":"deployment","n":1}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		var got []string
		for _, call := range noted(t, record) {
			got = append(got, call.Path+" "+strings.Join(call.Args, " ")+call.Body)
		}
		for i := range got {
			if at := strings.Index(got[i], "sha256:"); at >= 0 {
				got[i] = got[i][:at] + "DIGEST" + got[i][at+len("sha256:")+64:]
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", name, got, c.want)
		}
		env := noted(t, record)[0].Env
		for _, want := range []string{"OLLAMA_NUM_PARALLEL=3", "OLLAMA_KEEP_ALIVE=-1", "OLLAMA_MAX_LOADED_MODELS=1", "OLLAMA_LLM_LIBRARY=cpu"} {
			if !slices.Contains(env, want) {
				t.Errorf("%s: Ollama does not see %s", name, want)
			}
		}
		for _, entry := range env {
			if (strings.HasPrefix(entry, "HOME=") || strings.HasPrefix(entry, "OLLAMA_MODELS=")) && !strings.Contains(entry, p.config.RunDir) {
				t.Errorf("%s: it shares %s", name, entry)
			}
		}
		if l, err := e.Load(t.Context()); err != nil || l.Known || e.Slots() != 3 || e.Context() == 0 {
			t.Errorf("%s: %+v, %v, %d slots of %d", name, l, err, e.Slots(), e.Context())
		}
		stop(t, e)
		gone(t, p, e)
	}
}

// The real one, where somebody names it: LOTABOTS_TEST_OLLAMA=/path/of/ollama go test -run RealOllama
func TestRealOllama(t *testing.T) {
	path := os.Getenv("LOTABOTS_TEST_OLLAMA")
	if path == "" {
		t.Skip("LOTABOTS_TEST_OLLAMA does not name an ollama; make e2e builds one and serves through it")
	}
	p := New(Config{Shim: testShim, Ollama: path, RunDir: t.TempDir()})
	s := demoSpec(2)
	s.Preset = Ollama
	e := start(t, p, s)
	if e.Context() != 1024 {
		t.Errorf("a context of %d; the model was trained on 1024", e.Context())
	}
	rest, err := io.ReadAll(stream(t.Context(), t, e, 30))
	if err != nil || !strings.HasSuffix(string(rest), "data: [DONE]\n\n") || !strings.Contains(string(rest), `"model":"lota"`) {
		t.Errorf("%v, ...%q", err, rest[max(0, len(rest)-300):])
	}
	body := stream(t.Context(), t, e, 900)
	stop(t, e)
	_, _ = io.ReadAll(body)
	gone(t, p, e)

	kill, pids := node(t, Ollama, path)
	if processes := group(pids[0]); len(processes) < 3 {
		t.Errorf("only %v are there: its runner is missing, or its leash", processes)
	}
	kill()
	until(t, 30*time.Second, "it ends with its node", func() bool { return len(group(pids[0])) == 0 })
}
