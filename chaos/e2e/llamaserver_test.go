//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lotabots/lotabots/node/demo"
)

// TestLlamaServer: llama.cpp's own server behind the same deployment: it serves and embeds, is started again
// when it is killed, tells what is wrong with a damaged model, and leaves nothing.
func TestLlamaServer(t *testing.T) {
	path := llamaServer(t)
	c := startCluster(t, []string{"LOTABOTS_ENGINES_LLAMA_SERVER=" + path}, "--engine", "llama-server")
	c.await(time.Minute, "an instance is ready in each region", c.spread)
	if got := ask(t, c.file.Nodes[0].API, c.file.AdminKey, c.file.Deployment, demo.Question); got != demo.Answer {
		t.Errorf("got  %q\nwant %q", got, demo.Answer)
	}
	for _, n := range c.file.Nodes {
		if o := stream(t.Context(), n.API, c.file.AdminKey, chat(c.file.Deployment, 5, 25, true)); o.err != nil {
			t.Errorf("streamed through %s: %v", n.ID, o.err)
		}
	}

	running := c.servers()
	if len(running) != 2 {
		t.Fatalf("%d servers run", len(running))
	}
	for pid := range running {
		if line, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline"); !strings.Contains(string(line), "--host\x00s.sock\x00") {
			t.Errorf("it listens on a port: %q", line)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	c.await(time.Minute, "both are started again", func() bool {
		now := c.servers()
		for pid := range running {
			if _, there := now[pid]; there {
				return false
			}
		}
		return len(now) == 2 && c.readyInstances() == 2
	})
	if got := ask(t, c.file.Nodes[0].API, c.file.AdminKey, c.file.Deployment, demo.Question); got != demo.Answer {
		t.Errorf("after a crash: got  %q\nwant %q", got, demo.Answer)
	}

	c.run("deploy", "vectors", "--model", c.file.Deployment, "--engine", "llama-server", "--option", "embeddings=on", "--context", "512")
	c.await(time.Minute, "the embedding deployment is ready", func() bool { return c.readyInstances() == 3 })
	a, b, far := c.vector("one two three"), c.vector("one two three"), c.vector("Paris")
	if len(a) != 128 || dot(a, b) < 0.999 || dot(a, far) > 0.999 {
		t.Errorf("%d numbers; the same text %.4f, another %.4f", len(a), dot(a, b), dot(a, far))
	}

	c.damaged()
	for _, name := range []string{"vectors", "damaged", c.file.Deployment} {
		c.run("deployments", "rm", name)
	}
	c.await(time.Minute, "nothing is left", func() bool { return len(c.servers()) == 0 && len(c.rooms()) == 0 })
}

// damaged deploys a model whose header is well and whose tokens are missing.
func (c *cluster) damaged() {
	c.t.Helper()
	raw, err := os.ReadFile("../../node/demo/lota-tiny.gguf")
	if err != nil {
		c.t.Fatal(err)
	}
	file := filepath.Join(c.t.TempDir(), "damaged.gguf")
	if err := os.WriteFile(file, []byte(strings.Replace(string(raw), "tokenizer.ggml.tokens", "tokenizer.ggml.tokenz", 1)), 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.run("models", "import", file, "--name", "damaged")
	c.run("deploy", "damaged", "--engine", "llama-server")
	var told string
	c.await(time.Minute, "the failure is told", func() bool {
		told = c.run("status", "-o", "json")
		return strings.Contains(told, "damaged or of a format that the engine does not read")
	})
}

// vector is the embedding of a text, of length 1.
func (c *cluster) vector(text string) []float64 {
	c.t.Helper()
	answer, raw, err := call(context.Background(), "POST", c.file.Nodes[0].API+"/v1/embeddings", c.file.AdminKey, map[string]any{"model": "vectors", "input": text})
	if err != nil {
		c.t.Fatal(err)
	}
	var body struct {
		Data []struct{ Embedding []float64 }
	}
	if err := json.Unmarshal(raw, &body); err != nil || answer.StatusCode != http.StatusOK || len(body.Data) != 1 {
		c.t.Fatalf("HTTP %d: %s (%v)", answer.StatusCode, raw, err)
	}
	return body.Data[0].Embedding
}

func dot(a, b []float64) (sum float64) {
	for i := range min(len(a), len(b)) {
		sum += a[i] * b[i]
	}
	return sum
}

// servers are the cluster's processes of llama-server, with the directories that they run in.
func (c *cluster) servers() map[int]string {
	found := map[int]string{}
	dirs, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, cwd := range dirs {
		to, err := os.Readlink(cwd)
		if err != nil || !strings.HasPrefix(to, c.dir+"/") {
			continue
		}
		if exe, _ := os.Readlink(filepath.Join(filepath.Dir(cwd), "exe")); filepath.Base(exe) == "llama-server" {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(cwd))); err == nil {
				found[pid] = to
			}
		}
	}
	return found
}

func (c *cluster) rooms() []string {
	rooms, _ := filepath.Glob(filepath.Join(c.dir, "*", "engines", "*.d"))
	return rooms
}

// llamaServer is the program that node/bench/engine has built, or the one that is named. To build it takes many
// minutes.
func llamaServer(t *testing.T) string {
	t.Helper()
	found := os.Getenv("LOTABOTS_TEST_LLAMA_SERVER")
	if found == "" {
		if cache, err := os.UserCacheDir(); err == nil {
			built, _ := filepath.Glob(filepath.Join(cache, "lotabots", "bench", "llama-server-*", "build", "bin", "llama-server"))
			if len(built) > 0 {
				found = built[len(built)-1]
			}
		}
	}
	if found == "" {
		t.Skip("llama-server is not on this machine: go run ./node/bench/engine -install builds it, or name one by LOTABOTS_TEST_LLAMA_SERVER")
	}
	if out, err := exec.Command(found, "--version").CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", found, err, out)
	} else {
		t.Logf("%s: %s", found, strings.TrimSpace(string(out)))
	}
	return found
}
