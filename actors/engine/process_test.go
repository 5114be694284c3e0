package engine

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

func serverSpec() Spec {
	s := demoSpec(4)
	s.Preset = LlamaServer
	return s
}

// fakeServer has the preset llama-server with a stand-in.
func fakeServer(t *testing.T, mode string, grace time.Duration) (p *Presets, record string) {
	t.Helper()
	path, record := fake(t, LlamaServer, mode)
	return New(Config{Shim: testShim, LlamaServer: path, RunDir: t.TempDir(), Grace: grace}), record
}

// node runs the test binary as a node that starts these presets and programs, waits until they serve
// and returns how to kill it and its engines' processes.
func node(t *testing.T, programs ...string) (kill func(), pids []int) {
	t.Helper()
	n := exec.Command(os.Args[0], append([]string{t.TempDir()}, programs...)...)
	n.Env = append(os.Environ(), "LOTABOTS_ENGINE_TEST=node")
	out, err := n.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() { _ = n.Process.Kill(); _ = n.Wait() }
	t.Cleanup(kill)
	for lines := bufio.NewScanner(out); len(pids) < len(programs)/2; {
		if !lines.Scan() {
			t.Fatalf("the node ended after %d engines: %v", len(pids), lines.Err())
		}
		pid, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatal(lines.Text())
		}
		pids = append(pids, pid)
	}
	return kill, pids
}

// A node that is killed leaves no engine, nor what an engine has started.
func TestDiesWithTheNode(t *testing.T) {
	path, record := fake(t, LlamaServer, "stubborn")
	kill, pids := node(t, Embedded, helper(t), LlamaServer, path)
	pids = append(pids, noted(t, record)[0].Child)
	for _, pid := range pids {
		if !alive(pid) {
			t.Fatalf("process %d is not there before the kill", pid)
		}
	}
	kill()
	for _, pid := range pids {
		until(t, 30*time.Second, fmt.Sprintf("process %d ends with its node", pid), func() bool { return !alive(pid) })
	}
}

// What ignores SIGTERM is killed after the grace, with what it has started.
func TestStopKillsTheGroup(t *testing.T) {
	p, record := fakeServer(t, "stubborn", 100*time.Millisecond)
	e := start(t, p, serverSpec())
	child := noted(t, record)[0].Child
	if !alive(child) {
		t.Fatal("the program's own process is not there")
	}
	stop(t, e)
	if e.Err() != nil || !closed(e.Done()) {
		t.Errorf("after Stop: %v", e.Err())
	}
	gone(t, p, e)
	until(t, 30*time.Second, "the program's own process is killed", func() bool { return !alive(child) })
	stop(t, e) // once more changes nothing
}

// Even an engine that crashes leaves nothing.
func TestCrashKillsTheGroup(t *testing.T) {
	p, record := fakeServer(t, "", 0)
	e := start(t, p, serverSpec())
	child := noted(t, record)[0].Child
	if err := syscall.Kill(e.mu.process.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-e.Done()
	if e.Err() == nil {
		t.Error("a crash leaves no error")
	}
	gone(t, p, e)
	until(t, 30*time.Second, "the program's own process is killed", func() bool { return !alive(child) })
}

func TestStartGivesUp(t *testing.T) {
	for name, stopping := range map[string]bool{"deadline": false, "stop": true} {
		p, record := fakeServer(t, "deaf", 0)
		opened, err := p.Open(serverSpec())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		failed := make(chan error, 1)
		go func() { failed <- opened.Start(ctx) }()
		engine := opened.(*local)
		until(t, 30*time.Second, "the program runs, and its engine knows it", func() bool {
			engine.mu.Lock()
			defer engine.mu.Unlock()
			return engine.mu.process != nil && len(noted(t, record)) > 0
		})
		want := "not ready in time"
		if stopping {
			want = "it was stopped"
			stop(t, opened)
			if !closed(opened.Done()) {
				t.Error("Stop returned before the process was gone")
			}
		} else {
			cancel()
		}
		err = <-failed
		if spec.CodeOf(err) != spec.CodeEngineStart || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
		if !closed(opened.Done()) {
			t.Errorf("%s: Done is open", name)
		}
		gone(t, p, engine)
		if err := opened.Start(t.Context()); err == nil {
			t.Errorf("%s: it starts again", name)
		}
	}
}

func TestStartTellsTheLastLines(t *testing.T) {
	p, _ := fakeServer(t, "broken", 0)
	e, err := p.Open(serverSpec())
	if err != nil {
		t.Fatal(err)
	}
	err = e.Start(t.Context())
	for _, want := range []string{"engine_unavailable", "llama-server", "exit status 1", ": the engine does not know", "; its last lines: error: unknown model architecture"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, without %q", err, want)
		}
	}
}

func TestNeverStarted(t *testing.T) {
	p, _ := fakeServer(t, "", 0)
	e, err := p.Open(serverSpec())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Do(t.Context(), "/v1/chat/completions", Head{}, nil); spec.CodeOf(err) != spec.CodeNotReady {
		t.Errorf("Do before Start: %v", err)
	}
	stop(t, e)
	if !closed(e.Done()) || e.Err() != nil {
		t.Errorf("Done %t, %v", closed(e.Done()), e.Err())
	}
	if err := e.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "it was stopped") {
		t.Errorf("Start after Stop: %v", err)
	}
}

// Keys of the node's stay with the node.
func TestEnvironment(t *testing.T) {
	t.Setenv("LOTABOTS_ADMIN_KEY", "secret")
	t.Setenv("HTTP_PROXY", "http://proxy")
	t.Setenv("LC_ALL", "C")
	p, record := fakeServer(t, "", 0)
	start(t, p, serverSpec())
	env := noted(t, record)[0].Env
	for _, entry := range env {
		if strings.HasPrefix(entry, "LOTABOTS_ADMIN") || strings.HasPrefix(entry, "HTTP_PROXY") || strings.HasPrefix(entry, "GOMODCACHE") {
			t.Errorf("the engine sees %s", entry)
		}
	}
	for _, want := range []string{"LC_ALL=C", "CUDA_VISIBLE_DEVICES=-1", "PATH=" + os.Getenv("PATH")} {
		if !slices.Contains(env, want) {
			t.Errorf("the engine does not see %s", want)
		}
	}
}

// Two engines of one instance would share a socket and a log.
func TestInstanceRunsOnce(t *testing.T) {
	p, _ := fakeServer(t, "", 0)
	start(t, p, serverSpec())
	e, err := p.Open(serverSpec())
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context()); spec.CodeOf(err) != spec.CodeEngineStart || !closed(e.Done()) {
		t.Errorf("a second engine of the instance: %v", err)
	}
}

// A real process's flood is bounded as well, and does not block it.
func TestFlood(t *testing.T) {
	p, _ := fakeServer(t, "", 0)
	e := start(t, p, serverSpec())
	r, err := e.Do(t.Context(), "/flood", Head{}, []byte("{}"))
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", r, err)
	}
	r.Body.Close()
	until(t, 30*time.Second, "the last line is kept", func() bool { return e.mu.process.link.Tail() != "" })
	entries, err := os.ReadDir(p.config.RunDir)
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	for _, f := range entries {
		if info, err := f.Info(); err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
	}
	if total < 1<<20 || total > 2<<20 {
		t.Errorf("%d bytes of logs", total)
	}
}
