package llamacpp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
)

// lora is an adapter of rank 2 over the shipped model's last layer, that a seed makes: the model talks
// nonsense with it, and the same nonsense each time.
func lora(t *testing.T, seed uint64, architecture string) string {
	t.Helper()
	const width, inner, rank = 128, 384, 2
	g := &gguf{}
	g.set("general.type", "adapter")
	g.set("general.architecture", architecture)
	g.set("adapter.type", "lora")
	g.set("adapter.lora.alpha", float32(8*rank))
	r := rand.New(rand.NewPCG(seed, 0))
	g.random(r, "blk.4.ffn_down.weight.lora_a", inner, rank)
	g.random(r, "blk.4.ffn_down.weight.lora_b", rank, width)
	return g.write(t)
}

// askFor is ask for an adapter.
func askFor(t testing.TB, url, adapter, path string, body any) (int, reply) {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+path, bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(adapterName, adapter)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return 0, reply{}
	}
	defer response.Body.Close()
	var out reply
	if err := json.NewDecoder(response.Body).Decode(&out); err != nil {
		t.Errorf("%s: %v", path, err)
	}
	return response.StatusCode, out
}

func mustLoad(t *testing.T, url, name, path string) {
	t.Helper()
	if status, out := ask(t, url, "/v1/load_lora_adapter", fields{"lora_name": name, "lora_path": path}); status != http.StatusOK {
		t.Fatalf("%s: %d %+v", name, status, out.Error)
	}
}

// TestAdaptersSideBySide: requests for the model and for two adapters, at the same time
// and of the same prompt, each get what they get alone.
func TestAdaptersSideBySide(t *testing.T) {
	_, web := open(t, Config{Slots: 6, Embeddings: "off"})
	mustLoad(t, web.URL, "fr", lora(t, 1, "llama"))
	mustLoad(t, web.URL, "de", lora(t, 2, "llama"))
	body := question("What does lota mean?", fields{"max_tokens": 24})
	names := []string{"", "fr", "de"}
	alone := map[string]string{}
	for _, name := range names {
		status, out := askFor(t, web.URL, name, "/v1/chat/completions", body)
		if alone[name] = out.text(); status != http.StatusOK || out.text() == "" {
			t.Fatalf("%q: %d %+v", name, status, out)
		}
	}
	if alone[""] == alone["fr"] || alone["fr"] == alone["de"] || alone[""] == alone["de"] {
		t.Fatalf("the adapters change nothing: %q", alone)
	}
	var wg sync.WaitGroup
	for i := range 12 {
		name := names[i%3]
		wg.Go(func() {
			if _, out := askFor(t, web.URL, name, "/v1/chat/completions", body); out.text() != alone[name] {
				t.Errorf("%q beside others: %q, alone %q", name, out.text(), alone[name])
			}
		})
	}
	wg.Wait()
	if _, out := ask(t, web.URL, "/v1/chat/completions", body); out.text() != alone[""] {
		t.Errorf("the model, after its adapters: %q, before %q", out.text(), alone[""])
	}
}

func TestAdaptersComeAndGo(t *testing.T) {
	e, web := open(t, Config{Slots: 2})
	body := fields{"prompt": "The capital of", "max_tokens": 8, "temperature": 0}
	completion := func(name string) (int, string) {
		status, out := askFor(t, web.URL, name, "/v1/completions", body)
		return status, out.text()
	}
	if status, _ := completion("fr"); status != http.StatusNotFound {
		t.Errorf("one that was never loaded: %d", status)
	}
	first, second := lora(t, 1, "llama"), lora(t, 2, "llama")
	mustLoad(t, web.URL, "fr", first)
	mustLoad(t, web.URL, "fr", first) // again
	_, one := completion("fr")
	mustLoad(t, web.URL, "fr", second)
	_, two := completion("fr")
	if one == two || one == "" {
		t.Errorf("another file of the name gives %q, as before: %q", two, one)
	}
	if _, out := askFor(t, web.URL, "fr", "/v1/embeddings", fields{"input": "x"}); out.Error == nil || out.Error.Code != string(spec.CodeUnsupported) {
		t.Errorf("embeddings by an adapter: %+v", out.Error)
	}
	for range 2 {
		if status, out := ask(t, web.URL, "/v1/unload_lora_adapter", fields{"lora_name": "fr"}); status != http.StatusOK {
			t.Fatalf("unload: %d %+v", status, out.Error)
		}
	}
	if status, _ := completion("fr"); status != http.StatusNotFound || len(e.gen.adapters) != 0 {
		t.Errorf("unloaded, and answers %d; %d are held", status, len(e.gen.adapters))
	}
	mustLoad(t, web.URL, "fr", first)
	if _, again := completion("fr"); again != one {
		t.Errorf("loaded again: %q, before %q", again, one)
	}
	for name, file := range map[string]string{"of another model": lora(t, 1, "bert"), "a model": shipped, "nothing": "/nonexistent"} {
		if status, _ := ask(t, web.URL, "/v1/load_lora_adapter", fields{"lora_name": "bad", "lora_path": file}); status == http.StatusOK {
			t.Errorf("%s is taken for an adapter", name)
		}
	}
	if status, _ := ask(t, web.URL, "/v1/load_lora_adapter", fields{"lora_name": strings.Repeat("x", 200)}); status != http.StatusBadRequest {
		t.Errorf("a long name: %d", status)
	}
}

// TestAdaptersInUseStay: what requests compute with is not taken away under them.
func TestAdaptersInUseStay(t *testing.T) {
	e, web := open(t, Config{Slots: 1, Embeddings: "off"})
	mustLoad(t, web.URL, "fr", lora(t, 1, "llama"))
	done := make(chan struct{})
	go func() {
		defer close(done)
		askFor(t, web.URL, "fr", "/v1/completions", fields{"prompt": "Once", "max_tokens": 900, "temperature": 1, "logit_bias": fields{"0": -100, "2": -100}})
	}()
	until(t, "the request to run", func() bool { return e.Load().Running == 1 })
	err := e.UnloadAdapter("fr")
	if e.Load().Running == 1 && spec.CodeOf(err) != spec.CodeConflict {
		t.Errorf("unloaded with a request under way: %v", err)
	}
	<-done
	if err := e.UnloadAdapter("fr"); err != nil {
		t.Error(err)
	}
}

func TestTurns(t *testing.T) {
	var slots []*slot
	for _, name := range []string{"b", "", "c", "b"} {
		slots = append(slots, &slot{work: &sequence{job: &job{adapter: name}}})
	}
	slots = append(slots, &slot{})
	last, got := "c", ""
	for range 4 {
		last = turnOf(slots, last)
		got += fmt.Sprintf("%q ", last)
	}
	if got != `"" "b" "c" "" ` {
		t.Errorf("turns of %s", got)
	}
	if turnOf(slots[4:], "b") != "" {
		t.Error("nobody's turn is somebody's")
	}
}
