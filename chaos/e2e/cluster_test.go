//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lotabots/lotabots/node/dev"
)

// binary is the lotabots executable under test; `make build` makes it.
func binary(t *testing.T) string {
	t.Helper()
	path := os.Getenv("LOTABOTS_BIN")
	if path == "" {
		path = "../../bin/lotabots"
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(abs); err != nil {
		t.Fatalf("%v: run make build first", err)
	}
	return abs
}

// A cluster is a running `lotabots dev`.
type cluster struct {
	t    *testing.T
	dir  string
	file *dev.File
}

// startCluster runs `lotabots dev` with further arguments and environment until the test ends.
func startCluster(t *testing.T, environment []string, arguments ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir()}
	var out bytes.Buffer
	cmd := exec.Command(binary(t), append([]string{"dev", "--no-demo", "--data", c.dir}, arguments...)...)
	cmd.Env = append(os.Environ(), environment...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		select {
		case <-ended:
		case <-time.After(90 * time.Second):
			_ = cmd.Process.Kill()
			t.Error("lotabots dev did not end within 90 s of SIGINT")
		}
		if left := processesOf(c.dir); left != "" {
			t.Errorf("processes left behind:\n%s", left)
		}
		if t.Failed() {
			c.logs()
		}
	})
	deadline := time.Now().Add(3 * time.Minute)
	for time.Now().Before(deadline) {
		if f, err := dev.Load(c.dir); err == nil {
			c.file = f
			return c
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("lotabots dev ended: %v\n%s", err, out.String())
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Fatalf("lotabots dev does not serve after 3 minutes\n%s", out.String())
	return nil
}

func (c *cluster) logs() {
	for _, n := range c.file.Nodes {
		raw, _ := os.ReadFile(filepath.Join(n.Data, "node.log"))
		lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
		c.t.Logf("last lines of node %s:\n%s", n.ID, strings.Join(lines[max(0, len(lines)-25):], "\n"))
	}
}

// processesOf lists the processes whose command line names dir.
func processesOf(dir string) string {
	var found []string
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range lines {
		raw, err := os.ReadFile(file)
		if err == nil && bytes.Contains(raw, []byte(dir)) {
			found = append(found, strings.ReplaceAll(string(raw), "\x00", " "))
		}
	}
	return strings.Join(found, "\n")
}

// run runs a lotabots command against the cluster and returns what it printed.
func (c *cluster) run(arguments ...string) string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary(c.t), append(arguments, "--data", c.dir)...).CombinedOutput()
	if err != nil {
		c.t.Fatalf("lotabots %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
	return string(out)
}

// status is the part of the admin API's status that the tests look at.
type status struct {
	Leader    string `json:"leader"`
	Instances []struct {
		ID         string `json:"id"`
		Deployment string `json:"deployment"`
		Node       string `json:"node"`
		State      string `json:"state"`
		Running    int    `json:"running"`
	} `json:"instances"`
	Nodes []struct {
		ID    string `json:"id"`
		Alive bool   `json:"alive"`
	} `json:"nodes"`
}

func (c *cluster) status() status {
	c.t.Helper()
	var s status
	if err := json.Unmarshal([]byte(c.run("status", "-o", "json")), &s); err != nil {
		c.t.Fatal(err)
	}
	return s
}

// readyInstances counts the ready instances of the deployment.
func (c *cluster) readyInstances() int {
	ready := 0
	for _, i := range c.status().Instances {
		if i.State == "ready" {
			ready++
		}
	}
	return ready
}

// spread tells whether the deployment's two instances are where they stay: on two nodes, in two regions where
// there are two. Those that are placed before all nodes are known move.
func (c *cluster) spread() bool {
	all := c.status().Instances
	nodes, regions, there := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, n := range c.file.Nodes {
		there[n.Region] = true
		for _, i := range all {
			if i.State == "ready" && i.Node == n.ID {
				nodes[n.ID], regions[n.Region] = true, true
			}
		}
	}
	return len(all) == 2 && len(nodes) == 2 && len(regions) == min(len(there), 2)
}

// await polls until ok or the limit.
func (c *cluster) await(limit time.Duration, what string, ok func() bool) time.Duration {
	c.t.Helper()
	begin := time.Now()
	for time.Since(begin) < limit {
		if ok() {
			return time.Since(begin)
		}
		time.Sleep(20 * time.Millisecond)
	}
	c.t.Fatalf("%s: not within %v", what, limit)
	return 0
}

// call sends one request and returns the status and the body.
func call(ctx context.Context, method, url, key string, body any) (*http.Response, []byte, error) {
	var reader io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, nil, err
		}
		reader = bytes.NewReader(raw)
	}
	request, err := http.NewRequestWithContext(ctx, method, url, reader)
	if err != nil {
		return nil, nil, err
	}
	request.Header.Set("Authorization", "Bearer "+key)
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	return answer, raw, err
}

// chat is a request that counts, so that its answer can be checked.
func chat(model string, from, to int, stream bool) map[string]any {
	return map[string]any{
		"model": model, "stream": stream, "temperature": 0, "max_tokens": 900,
		"messages": []map[string]string{{"role": "user", "content": fmt.Sprintf("Count from %d to %d.", from, to)}},
	}
}
