//go:build e2e

package e2e

import (
	"bytes"
	"context"
	enc "encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/node/demo"
)

// writeAdapter makes a LoRA of rank 2 over the last layer of the shipped model. It makes
// the model talk nonsense, another for each seed.
func writeAdapter(t *testing.T, seed uint64) string {
	t.Helper()
	var b bytes.Buffer
	put := func(v any) {
		if s, ok := v.(string); ok {
			_ = enc.Write(&b, enc.LittleEndian, uint64(len(s))) // a buffer takes everything
			b.WriteString(s)
			return
		}
		_ = enc.Write(&b, enc.LittleEndian, v)
	}
	const width, inner, rank = 128, 384, 2
	b.WriteString("GGUF")
	for _, v := range []any{uint32(3), uint64(2), uint64(4), "general.type", uint32(8), "adapter", "general.architecture", uint32(8), "llama",
		"adapter.type", uint32(8), "lora", "adapter.lora.alpha", uint32(6), float32(8 * rank),
		"blk.4.ffn_down.weight.lora_a", uint32(2), uint64(inner), uint64(rank), uint32(0), uint64(0),
		"blk.4.ffn_down.weight.lora_b", uint32(2), uint64(rank), uint64(width), uint32(0), uint64(4 * inner * rank)} {
		put(v)
	}
	b.Write(make([]byte, (32-b.Len()%32)%32))
	r := rand.New(rand.NewPCG(seed, 0))
	for range rank * (inner + width) {
		put(float32(r.NormFloat64() * 0.5))
	}
	path := filepath.Join(t.TempDir(), "adapter.gguf")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestAdapters: adapters answer under names of their own, beside their model, to the keys
// that may use those names; of more than an instance takes, the one goes that was used
// longest ago, and comes back when it is asked for.
func TestAdapters(t *testing.T) {
	c := startCluster(t, nil, "--nodes", "1")
	api, admin := c.file.Nodes[0].API, c.file.AdminKey
	must := func(method, path string, body any) []byte {
		t.Helper()
		answer, raw, err := call(context.Background(), method, api+path, admin, body)
		if err != nil || answer.StatusCode >= 300 {
			t.Fatalf("%s %s: %v %s", method, path, err, raw)
		}
		return raw
	}
	names := map[string]string{}
	for i := range 3 {
		name := fmt.Sprintf("style-%d", i)
		c.run("models", "import", writeAdapter(t, uint64(i)), "--name", name)
		names["lota-"+name] = name
	}
	var models struct{ Data []struct{ Name string } }
	if err := json.Unmarshal(must("GET", "/admin/v1/models", nil), &models); err != nil || len(models.Data) != 4 {
		t.Fatalf("%v: %+v", err, models)
	}
	base := ""
	for _, m := range models.Data {
		if !strings.HasPrefix(m.Name, "style-") {
			base = m.Name
		}
	}
	must("PUT", "/admin/v1/deployments/adapted", map[string]any{"engine": "embedded", "model": base, "options": map[string]string{"max-loras": "2"}, "adapters": names})
	answer, raw, err := call(context.Background(), "PUT", api+"/admin/v1/deployments/other", admin,
		map[string]any{"engine": "ollama", "model": base, "adapters": map[string]string{"other-1": "style-1"}})
	if err != nil || answer.StatusCode != http.StatusBadRequest || !strings.Contains(string(raw), "takes no adapters") {
		t.Errorf("an engine that cannot: %v %s", err, raw)
	}
	c.await(time.Minute, "the deployment is ready", func() bool {
		for _, i := range c.status().Instances {
			if i.Deployment == "adapted" && i.State == "ready" {
				return true
			}
		}
		return false
	})
	said := map[string]string{}
	for range 2 { // the second time, each has been unloaded for another
		for _, name := range []string{"adapted", "lota-style-0", "lota-style-1", "lota-style-2"} {
			got := ask(t, api, admin, name, demo.Question)
			if before, again := said[name]; again && got != before {
				t.Errorf("%s says %q, before %q", name, got, before)
			}
			said[name] = got
		}
	}
	if said["adapted"] != demo.Answer {
		t.Errorf("the model itself says %q", said["adapted"])
	}
	for i := range 3 {
		if name := fmt.Sprintf("lota-style-%d", i); said[name] == demo.Answer || said[name] == said[fmt.Sprintf("lota-style-%d", (i+1)%3)] {
			t.Errorf("%s says %q, as another does", name, said[name])
		}
	}
	log, _ := os.ReadFile(filepath.Join(c.file.Nodes[0].Data, "node.log"))
	if n := bytes.Count(log, []byte(`"adapter unloaded"`)); n < 4 {
		t.Errorf("%d adapters were unloaded for others, want 4: there are places for two of three", n)
	}
	onlyFor(t, api, admin)
}

// onlyFor makes a key for the model and one of its adapters.
func onlyFor(t *testing.T, api, admin string) {
	t.Helper()
	_, raw, err := call(context.Background(), "POST", api+"/admin/v1/keys", admin, map[string]any{"name": "limited", "scopes": []string{"infer"}, "models": []string{"adapted", "lota-style-1"}})
	var made struct{ Key string }
	if err != nil || json.Unmarshal(raw, &made) != nil || made.Key == "" {
		t.Fatalf("%v %s", err, raw)
	}
	for name, want := range map[string]int{"adapted": 200, "lota-style-1": 200, "lota-style-0": 403} {
		if answer, raw, err := call(context.Background(), "POST", api+"/v1/chat/completions", made.Key, chat(name, 1, 3, false)); err != nil || answer.StatusCode != want {
			t.Errorf("%s by a key for another: %v %s", name, err, raw)
		}
	}
	_, raw, err = call(context.Background(), "GET", api+"/v1/models", made.Key, nil)
	if err != nil || !strings.Contains(string(raw), `"parent":"adapted"`) || strings.Contains(string(raw), "lota-style-0") {
		t.Errorf("%v: the key sees %s", err, raw)
	}
}
