package engine

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lotabots/lotabots/actors/llamacpp/library"
	"github.com/lotabots/lotabots/actors/shim"
)

// testShim has the test binary hold engines.
var testShim = []string{os.Args[0]}

// The test binary is also a shim, a node that can be killed, and programs that the presets start.
func TestMain(m *testing.M) {
	shim.IfAsked()
	switch os.Getenv("LOTABOTS_ENGINE_TEST") {
	case "node":
		nodeMain()
	case "lingering":
		lingeringMain()
	case "llama-server":
		llamaServerMain()
	case "ollama":
		ollamaMain()
	case VLLM, SGLang:
		pythonMain(os.Getenv("LOTABOTS_ENGINE_TEST"))
	case Triton:
		tritonMain()
	}
	var err error
	if built.dir, err = os.MkdirTemp("", "lotabots-engine-test"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(built.dir)
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

const demo = "../../node/demo/lota-tiny.gguf"

// built is lotabots-engine, made of this very tree, once.
var built struct {
	sync.Once
	dir, path string
	err       error
}

func helper(t *testing.T) string {
	t.Helper()
	if _, err := library.Find(""); err != nil {
		t.Skipf("llama.cpp's libraries are not here; run lotabots-engine install: %v", err)
	}
	built.Do(func() {
		built.path = filepath.Join(built.dir, helperName)
		build := exec.Command("go", "build", "-o", built.path, "../../node/cmd/lotabots-engine")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// presets has the embedded engine, in a run directory whose path is too long for a socket where deep.
func presets(t *testing.T, deep bool, grace time.Duration) *Presets {
	t.Helper()
	dir := t.TempDir()
	if deep {
		dir = filepath.Join(dir, strings.Repeat("deep/", 30))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return New(Config{Shim: testShim, Helper: helper(t), RunDir: dir, Grace: grace})
}

func demoSpec(slots uint32) Spec {
	return Spec{Instance: "lota-1", Deployment: "lota", Model: demo, ModelName: "lota", Preset: Embedded, Slots: slots}
}

// start opens and starts an engine, and stops it at the test's end.
func start(t *testing.T, p *Presets, s Spec) *local {
	t.Helper()
	opened, err := p.Open(s)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if err := opened.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, opened) })
	return opened.(*local)
}

func stop(t *testing.T, e Engine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	if err := e.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
}

const count = `{"temperature":0,"stream":true,"max_tokens":%d,"messages":[{"role":"user","content":"Count from 1 to 150."}]}`

// stream begins a long answer and reads its first bytes.
func stream(ctx context.Context, t *testing.T, e Engine, tokens int) io.ReadCloser {
	t.Helper()
	r, err := e.Do(ctx, "/v1/chat/completions", Head{RequestID: "r1"}, fmt.Appendf(nil, count, tokens))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Body.Close() })
	if r.StatusCode != http.StatusOK {
		t.Fatalf("status %d", r.StatusCode)
	}
	if _, err := io.ReadFull(r.Body, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	return r.Body
}

// busy begins an answer that is not over yet: a fast engine and a slow test may have missed some.
func busy(ctx context.Context, t *testing.T, e Engine) io.ReadCloser {
	t.Helper()
	for range 20 {
		body := stream(ctx, t, e, 900)
		if l, err := e.Load(ctx); err == nil && l.Running > 0 {
			return body
		}
	}
	t.Fatal("every answer was over at once; this test shows nothing")
	return nil
}

// until waits for ok.
func until(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}

// alive tells whether the process runs; one that is dead and not reaped yet does not.
func alive(pid int) bool {
	state, _ := status(strconv.Itoa(pid))
	return state != "" && state != "Z"
}

// status reads a process's state and group; empty: there is no such process.
func status(pid string) (state, group string) {
	raw, _ := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	_, rest, _ := strings.Cut(string(raw), ") ")
	if f := strings.Fields(rest); len(f) > 2 {
		return f[0], f[2]
	}
	return "", ""
}

// group lists the processes of a group that run.
func group(leader int) (pids []string) {
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		pid := filepath.Base(dir)
		if state, of := status(pid); of == strconv.Itoa(leader) && state != "Z" {
			pids = append(pids, pid)
		}
	}
	return pids
}

// gone checks that nothing of the engine but its log is left.
func gone(t *testing.T, p *Presets, e *local) {
	t.Helper()
	leader := e.mu.process.pid
	until(t, 30*time.Second, "the kernel ends what was killed", func() bool { return len(group(leader)) == 0 })
	entries, err := os.ReadDir(p.config.RunDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range entries {
		if !strings.HasSuffix(f.Name(), logEnd) {
			t.Errorf("%s is left", f.Name())
		}
	}
	if len(entries) == 0 {
		t.Error("there is no log")
	}
}

func closed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}
