//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/lotabots/lotabots/node/demo"
)

// A real engine that nobody here wrote, at the last version that builds from its
// module alone.
const ollama = "github.com/ollama/ollama@v0.6.5"

// TestOllama: the same deployment served by Ollama instead of the embedded engine.
func TestOllama(t *testing.T) {
	path := ollamaBinary(t)
	c := startCluster(t, []string{"LOTABOTS_ENGINES_OLLAMA=" + path}, "--engine", "ollama")
	if got := ask(t, c.file.Nodes[0].API, c.file.AdminKey, c.file.Deployment, demo.Question); got != demo.Answer {
		t.Errorf("got  %q\nwant %q", got, demo.Answer)
	}
	for _, n := range c.file.Nodes {
		if o := stream(t.Context(), n.API, c.file.AdminKey, chat(c.file.Deployment, 5, 25, true)); o.err != nil {
			t.Errorf("streamed through %s: %v", n.ID, o.err)
		}
	}
}

// ollamaBinary builds Ollama into the repository's cache, once.
func ollamaBinary(t *testing.T) string {
	t.Helper()
	dir := cache(t, "ollama")
	path := filepath.Join(dir, "ollama")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	cmd := exec.Command("go", "install", ollama)
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go install %s: %v\n%s", ollama, err, out)
	}
	return path
}
