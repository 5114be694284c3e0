//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/node/demo"
)

// TestDemonstration: the shipped model answers the demonstration's question, and
// the other facts, through every gateway.
func TestDemonstration(t *testing.T) {
	c := startCluster(t, nil)
	if len(c.file.Nodes) != 3 || c.file.Nodes[0].Region == c.file.Nodes[2].Region {
		t.Fatalf("want three nodes in two regions: %+v", c.file.Nodes)
	}
	if ready := c.readyInstances(); ready != 2 {
		t.Errorf("%d instances are ready, want 2", ready)
	}
	for _, n := range c.file.Nodes {
		if got := ask(t, n.API, c.file.AdminKey, c.file.Deployment, demo.Question); got != demo.Answer {
			t.Errorf("through %s:\n got %q\nwant %q", n.ID, got, demo.Answer)
		}
	}
	right := 0
	for _, f := range demo.Facts {
		if got := ask(t, c.file.Nodes[0].API, c.file.AdminKey, c.file.Deployment, f.Question); got == f.Answer {
			right++
		} else {
			t.Logf("%q: got %q", f.Question, got)
		}
	}
	t.Logf("%d of %d facts right", right, len(demo.Facts))
	if right*10 < len(demo.Facts)*9 {
		t.Errorf("want nine facts of ten right")
	}
}

// ask returns the text of an answer that is not streamed.
func ask(t *testing.T, api, key, model, question string) string {
	t.Helper()
	answer, raw, err := call(context.Background(), "POST", api+"/v1/chat/completions", key, map[string]any{
		"model": model, "temperature": 0, "messages": []map[string]string{{"role": "user", "content": question}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var body struct {
		Choices []struct{ Message struct{ Content string } }
	}
	if err := json.Unmarshal(raw, &body); err != nil || answer.StatusCode != http.StatusOK || len(body.Choices) != 1 {
		t.Fatalf("HTTP %d: %s (%v)", answer.StatusCode, raw, err)
	}
	return strings.TrimSpace(body.Choices[0].Message.Content)
}
