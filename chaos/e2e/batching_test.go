//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// An embedded is what came of one request for a vector.
type embedded struct {
	status int
	code   string
	vector []float64
	tokens int
}

func (c *cluster) embed(node int, key, model, text string) (out embedded, err error) {
	answer, raw, err := call(c.t.Context(), "POST", c.file.Nodes[node].API+"/v1/embeddings", key, map[string]any{"model": model, "input": text})
	if err != nil {
		return out, err
	}
	var body struct {
		Data []struct {
			Index     int
			Embedding []float64
		}
		Model string
		Usage map[string]any
		Error *struct{ Code string }
	}
	if err := json.Unmarshal(raw, &body); err != nil {
		return out, err
	}
	out.status = answer.StatusCode
	if body.Error != nil {
		out.code = body.Error.Code
		return out, nil
	}
	tokens, _ := body.Usage["prompt_tokens"].(float64)
	if out.tokens = int(tokens); len(body.Usage) != 2 || body.Usage["total_tokens"] != tokens || body.Model != model || len(body.Data) != 1 || body.Data[0].Index != 0 {
		return out, fmt.Errorf("answer %.200s", raw)
	}
	out.vector = body.Data[0].Embedding
	return out, nil
}

// TestEmbeddingsGoTogether: fifty clients of three gateways ask for one vector each at the
// same time. They get what they get one by one, in fewer calls to the engine; one whose
// text is too long and one that the engine refuses are told so, and nobody else; and
// tokens are counted to each, whose sum the ledger has.
func TestEmbeddingsGoTogether(t *testing.T) {
	c := startCluster(t, nil, "--engine", "embedded")
	for name, batching := range map[string]string{"together": "on", "apart": "off"} {
		c.run("deploy", name, "--model", c.file.Deployment, "--engine", "embedded", "--context", "512", "--option", "embeddings=on", "--option", "batching="+batching)
	}
	c.await(time.Minute, "both deployments are ready", func() bool {
		ready := map[string]bool{}
		for _, i := range c.status().Instances {
			if i.State == "ready" {
				ready[i.Deployment] = true
			}
		}
		return ready["together"] && ready["apart"]
	})
	const n, refused, tooLong = 50, 17, 33
	text := func(i int) string {
		switch i {
		case refused:
			return "a\x00b"
		case tooLong:
			return strings.Repeat("a b ", 4000)
		}
		return fmt.Sprintf("%d ships sail %s", i, strings.Repeat("over the sea ", i%5))
	}
	alone, told := make([]embedded, n), make([]embedded, n)
	for i := range n {
		var err error
		if alone[i], err = c.embed(0, c.file.AdminKey, "apart", text(i)); err != nil {
			t.Fatal(err)
		}
	}
	key := c.key("batching")
	for _, node := range c.file.Nodes {
		c.await(30*time.Second, "all nodes know the key and the model", func() bool {
			answer, raw, err := call(t.Context(), "GET", node.API+"/v1/models", key.Key, nil)
			return err == nil && answer.StatusCode == http.StatusOK && strings.Contains(string(raw), `"together"`)
		})
	}
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			var err error
			if told[i], err = c.embed(i%3, key.Key, "together", text(i)); err != nil {
				t.Errorf("request %d: %v", i, err)
			}
		})
	}
	wait.Wait()
	tokens := 0
	for i, got := range told {
		want := alone[i]
		if got.status != want.status || got.code != want.code || got.tokens != want.tokens || got.status == http.StatusOK && dot(got.vector, want.vector) < 0.999 {
			t.Errorf("request %d: %d %s, %d tokens, cosine %f; alone %d %s, %d tokens", i, got.status, got.code, got.tokens, dot(got.vector, want.vector), want.status, want.code, want.tokens)
		}
		if bad := i == refused || i == tooLong; bad != (got.status == http.StatusBadRequest) || bad && got.code == "" {
			t.Errorf("request %d: %d %s", i, got.status, got.code)
		}
		tokens += got.tokens
	}
	calls, callers := 0.0, 0.0
	for i := range c.file.Nodes {
		calls += c.metric(i, "lotabots_batch_calls_total")
		callers += c.metric(i, "lotabots_batch_size_sum")
	}
	t.Logf("%v requests in %v calls", callers, calls)
	if callers < n-1 || calls >= n {
		t.Errorf("%v requests in %v calls", callers, calls)
	}
	c.await(30*time.Second, "the ledger has them", func() bool {
		b := c.counted("--key-id", key.ID)[key.ID]
		return b.requests == n-2 && b.failed == 2 && b.prompt == tokens
	})
}
