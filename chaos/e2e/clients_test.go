//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/lotabots/lotabots/node/demo"
)

// The official clients, pinned. They are fetched into the repository's cache.
const (
	openaiNode   = "openai@7.57.0"
	openaiPython = "openai==3.54.0"
)

// TestOfficialClients: OpenAI's own libraries chat, stream, embed and list models
// with no setting but base URL and key.
func TestOfficialClients(t *testing.T) {
	c := startCluster(t, nil)
	environment := append(os.Environ(),
		"OPENAI_BASE_URL="+c.file.Nodes[1].API+"/v1", "OPENAI_API_KEY="+c.file.AdminKey, "MODEL="+c.file.Deployment,
		"QUESTION="+demo.Question, "ANSWER="+demo.Answer)
	t.Run("node", func(t *testing.T) {
		dir := cache(t, "openai-node")
		if _, err := os.Stat(filepath.Join(dir, "node_modules", "openai")); err != nil {
			command(t, dir, nil, "npm", "install", "--no-save", "--no-audit", "--no-fund", "--prefix", dir, openaiNode)
		}
		script, err := os.ReadFile("clients/openai.mjs")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "openai.mjs"), script, 0o600); err != nil {
			t.Fatal(err)
		}
		t.Log(command(t, dir, environment, "node", "openai.mjs"))
	})
	t.Run("python", func(t *testing.T) {
		dir := cache(t, "openai-python")
		python := filepath.Join(dir, "bin", "python")
		if _, err := os.Stat(filepath.Join(dir, "complete")); err != nil {
			command(t, dir, nil, "python3", "-m", "venv", dir)
			command(t, dir, nil, python, "-m", "pip", "install", "-q", openaiPython)
			if err := os.WriteFile(filepath.Join(dir, "complete"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		script, err := filepath.Abs("clients/openai_client.py")
		if err != nil {
			t.Fatal(err)
		}
		t.Log(command(t, dir, environment, python, script))
	})
}

// cache returns a directory that survives the test.
func cache(t *testing.T, name string) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("../../.cache/e2e", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func command(t *testing.T, dir string, environment []string, name string, arguments ...string) string {
	t.Helper()
	cmd := exec.Command(name, arguments...)
	cmd.Dir, cmd.Env = dir, environment
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, arguments, err, out)
	}
	return string(out)
}
