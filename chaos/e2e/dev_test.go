//go:build e2e

package e2e

import (
	"context"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lotabots/lotabots/node/demo"
	"github.com/lotabots/lotabots/node/dev"
)

// TestSideBySide: two dev clusters on one machine do not know each other.
func TestSideBySide(t *testing.T) {
	a := startCluster(t, nil, "--nodes", "1", "--regions", "here")
	b := startCluster(t, nil, "--nodes", "1", "--regions", "here")
	if answer, _, err := call(context.Background(), "GET", a.file.Nodes[0].API+"/v1/models", b.file.AdminKey, nil); err != nil || answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("one cluster takes the other's key: %v %v", answer, err)
	}
	for _, c := range []*cluster{a, b} {
		if got := ask(t, c.file.Nodes[0].API, c.file.AdminKey, c.file.Deployment, demo.Question); got != demo.Answer {
			t.Errorf("got %q", got)
		}
	}
}

// TestKeptCluster: a dev cluster in a directory of its own comes back as it was,
// also after its dev process was killed, which leaves no node running.
func TestKeptCluster(t *testing.T) {
	dir := t.TempDir()
	start := func() (*exec.Cmd, *dev.File) {
		cmd := exec.Command(binary(t), "dev", "--no-demo", "--data", dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(time.Minute)
		for time.Now().Before(deadline) {
			if f, err := dev.Load(dir); err == nil && f.Dev == cmd.Process.Pid {
				return cmd, f
			}
			time.Sleep(50 * time.Millisecond)
		}
		_ = cmd.Process.Kill()
		t.Fatal("the cluster does not serve within a minute")
		return nil, nil
	}
	cmd, first := start()
	c := &cluster{t: t, dir: dir, file: first}
	c.run("keys", "create", "--name", "kept")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	c.await(30*time.Second, "the nodes have ended with dev", func() bool { return processesOf(dir) == "" })

	cmd, second := start()
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		_ = cmd.Wait()
		if left := processesOf(dir); left != "" {
			t.Errorf("processes left behind:\n%s", left)
		}
	}()
	c.file = second
	if first.AdminKey != second.AdminKey || !strings.Contains(c.run("keys", "ls"), "kept") {
		t.Error("the cluster that came back is another one")
	}
	if got := ask(t, second.Nodes[2].API, second.AdminKey, second.Deployment, demo.Question); got != demo.Answer {
		t.Errorf("got %q", got)
	}
}

// freeAddr is an address of 127.0.0.1 that is free for TCP and UDP at this moment.
func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := dev.FreeAddr("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return addr
}
