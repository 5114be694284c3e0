//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lotabots/lotabots/node/client"
)

// A shelf is a node with simulated devices of 1,000 MiB, whose models are loaded on
// demand: one file, deployed under many names.
type shelf struct {
	*machine
	key   string
	log   string // the node's
	ended chan error
}

// newShelf starts the node with so many devices. At the test's end it ends by
// SIGTERM, and nothing may be left of it.
func newShelf(t *testing.T, devices int, flags ...string) *shelf {
	t.Helper()
	s := &shelf{machine: newMachine(t, "n1"), ended: make(chan error, 1)}
	s.log = filepath.Join(filepath.Dir(s.dir), "node.log")
	s.must(nil, append([]string{"init", "--id", s.id, "--data", s.dir, "--cluster-listen", s.port, "--api-listen", s.api,
		"--roles", "voter,gateway,worker", "--devices-kind", "simulated", "--devices-simulated", strconv.Itoa(devices), "--devices-memory-mb", "1000", "--engines-linger", "0s"}, flags...)...)
	s.serve()
	known, err := client.FromData(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	s.key = known.Key
	s.must(nil, "models", "import", "--data", s.dir, "--name", "demo", "../../node/demo/lota-tiny.gguf")
	return s
}

func (s *shelf) serve() {
	s.t.Helper()
	out, err := os.Create(s.log)
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Close()
	process := exec.Command(binary(s.t), "node", "run", "--data", s.dir)
	process.Stdout, process.Stderr = out, out
	if err := process.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.process = process
	go func() { s.ended <- process.Wait() }()
	s.t.Cleanup(s.end)
	within(s.t, time.Minute, "the node is ready", func() bool { return s.get("/readyz") == http.StatusOK })
}

// end has the node end, and looks for what it leaves.
func (s *shelf) end() {
	_ = s.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(90 * time.Second):
		_ = s.process.Process.Kill()
		s.t.Error("the node did not end within 90 s of SIGTERM")
	}
	if left := processesOf(s.dir); left != "" {
		s.t.Errorf("processes left behind:\n%s", left)
	}
	if s.t.Failed() {
		raw, _ := os.ReadFile(s.log)
		lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
		s.t.Logf("last lines of the node:\n%s", strings.Join(lines[max(0, len(lines)-40):], "\n"))
	}
}

// deploy has the demonstration's model loaded on demand under the name.
func (s *shelf) deploy(name string, megabytes int, flags ...string) {
	s.t.Helper()
	s.must(nil, append([]string{"deploy", name, "--data", s.dir, "--model", "demo", "--on-demand", "--memory-mb", strconv.Itoa(megabytes)}, flags...)...)
	within(s.t, 30*time.Second, name+" is placed", func() bool { return s.stands(name) == "cold" })
}

// held is an instance as the status tells it.
type held struct {
	Deployment string `json:"deployment"`
	State      string `json:"state"`
	Phase      string `json:"phase"`
	Reason     string `json:"reason"`
	Device     string `json:"device"`
	Running    int    `json:"running"`
}

func (s *shelf) instances() []held {
	s.t.Helper()
	var told struct{ Instances []held }
	if err := s.admin(s.key, "GET", "/admin/v1/status", nil, &told); err != nil {
		s.t.Fatal(err)
	}
	return told.Instances
}

// of is the deployment's one instance.
func (s *shelf) of(name string) held {
	s.t.Helper()
	for _, i := range s.instances() {
		if i.Deployment == name {
			return i
		}
	}
	return held{}
}

func (s *shelf) stands(name string) string { return s.of(name).State }

// engines lists the engines' processes of a deployment; "": of all.
func (s *shelf) engines(name string) (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		raw, err := os.ReadFile(file)
		line := string(raw)
		if err != nil || !strings.Contains(line, s.dir) || !strings.Contains(line, "lotabots-engine\x00serve") {
			continue
		}
		if name == "" || strings.Contains(line, "--name="+name+"\x00") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// loads counts how often an engine has come to serve the deployment; "": any.
func (s *shelf) loads(name string) (n int) {
	s.t.Helper()
	for _, line := range s.logged("engine serves") {
		if name == "" || line["deployment"] == name {
			n++
		}
	}
	return n
}

// logged are the lines of the node's log with that message.
func (s *shelf) logged(message string) (lines []map[string]any) {
	s.t.Helper()
	raw, err := os.ReadFile(s.log)
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(raw), "\n") {
		told := map[string]any{}
		if json.Unmarshal([]byte(line), &told) == nil && told["msg"] == message {
			lines = append(lines, told)
		}
	}
	return lines
}

// ask has the model count, streamed or not, and checks the answer.
func (s *shelf) ask(ctx context.Context, name string, streamed bool) error {
	if streamed {
		return stream(ctx, "http://"+s.api, s.key, chat(name, 1, 9, true)).err
	}
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	answer, raw, err := call(ctx, "POST", "http://"+s.api+"/v1/chat/completions", s.key, chat(name, 1, 9, false))
	switch {
	case err != nil:
		return err
	case answer.StatusCode != http.StatusOK || !strings.Contains(string(raw), "1 2 3 4 5 6 7 8 9"):
		return fmt.Errorf("HTTP %d: %s", answer.StatusCode, raw)
	}
	return nil
}

func (s *shelf) mustAsk(name string) {
	s.t.Helper()
	if err := s.ask(s.t.Context(), name, true); err != nil {
		s.t.Fatalf("%s: %v", name, err)
	}
}
