package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lotabots/lotabots/actors/llamacpp/library"
)

// The test binary is the command, when it is told so: signals and crashes need a process of their own.
func TestMain(m *testing.M) {
	if os.Getenv("LOTABOTS_ENGINE_TEST") == "run" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

type process struct {
	*exec.Cmd
	stdin  io.WriteCloser
	stderr bytes.Buffer
	client *http.Client
	socket string
	exited chan error
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(os.Args[0], args...), exited: make(chan error, 1)}
	p.Env = append(os.Environ(), "LOTABOTS_ENGINE_TEST=run")
	p.Stderr = &p.stderr
	var err error
	if p.stdin, err = p.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.exited <- p.Wait() }()
	t.Cleanup(func() { _ = p.Process.Kill() })
	return p
}

// serve starts an engine of the shipped model and waits until it is ready.
func serve(t *testing.T, more ...string) *process {
	t.Helper()
	if _, err := library.Find(""); err != nil {
		t.Skipf("llama.cpp's libraries are not here; run lotabots-engine install: %v", err)
	}
	dir, err := os.MkdirTemp("", "le") //nolint:usetesting // a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	p := start(t, append([]string{"serve", "--socket", socket, "--model", "../../demo/lota-tiny.gguf", "--slots", "2", "--measure=false"}, more...)...)
	p.socket = socket
	p.client = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	t.Cleanup(p.client.CloseIdleConnections)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if r, err := p.client.Get("http://engine/health"); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return p
			}
		}
		if time.Now().After(end) {
			t.Fatalf("not ready in 30 s: %s", p.stderr.String())
		}
	}
}

// count begins a long stream and reads its first bytes.
func (p *process) count(t *testing.T, tokens string) io.ReadCloser {
	t.Helper()
	body := `{"temperature":0,"stream":true,"max_tokens":` + tokens + `,"messages":[{"role":"user","content":"Count from 1 to 150."}]}`
	r, err := p.client.Post("http://engine/v1/chat/completions", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Body.Close() })
	if _, err := io.ReadFull(r.Body, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	return r.Body
}

func (p *process) exit(t *testing.T, within time.Duration) error {
	t.Helper()
	select {
	case err := <-p.exited:
		return err
	case <-time.After(within):
		t.Fatalf("still there after %s: %s", within, p.stderr.String())
		return nil
	}
}

func TestExitsWithItsParent(t *testing.T) {
	p := serve(t, "--exit-with-parent")
	p.count(t, "4000")
	if err := p.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.exit(t, 30*time.Second); err != nil {
		t.Errorf("exit: %v", err)
	}
	if _, err := os.Stat(p.socket); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestTermLetsStreamsFinish(t *testing.T) {
	p := serve(t)
	stream := p.count(t, "300")
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(stream)
	if err != nil || !bytes.HasSuffix(rest, []byte("data: [DONE]\n\n")) {
		t.Errorf("the stream was cut: %v, ...%q", err, rest[max(0, len(rest)-80):])
	}
	if err := p.exit(t, 30*time.Second); err != nil {
		t.Errorf("exit: %v: %s", err, p.stderr.String())
	}
	if _, err := os.Stat(p.socket); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestTermDoesNotWaitForEver(t *testing.T) {
	p := serve(t, "--grace", "50ms")
	stream := p.count(t, "4000")
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(stream); err == nil && bytes.Contains(rest, []byte("[DONE]")) {
		t.Error("the stream was over before the grace; this test shows nothing")
	}
	if err := p.exit(t, 30*time.Second); err != nil {
		t.Errorf("exit: %v: %s", err, p.stderr.String())
	}
}

// What a crash in the C library does: the process is gone at once and so is every stream.
func TestCrashHangsNothing(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGABRT, syscall.SIGSEGV} {
		p := serve(t)
		stream := p.count(t, "4000")
		if err := p.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if _, err := io.ReadAll(stream); err == nil {
			t.Errorf("%s: the stream ended as if it were whole", signal)
		}
		if err := p.exit(t, 30*time.Second); err == nil || time.Since(begin) > 20*time.Second {
			t.Errorf("%s: exit %v after %s", signal, err, time.Since(begin))
		}
	}
}

func TestSocketIsTakenOver(t *testing.T) {
	p := serve(t)
	twice := start(t, "serve", "--socket", p.socket, "--model", "../../demo/lota-tiny.gguf", "--measure=false")
	if err := twice.exit(t, 30*time.Second); err == nil || !strings.Contains(twice.stderr.String(), "another process serves there") {
		t.Errorf("a second engine on the socket: %v, %s", err, twice.stderr.String())
	}
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.exit(t, 30*time.Second)
	again := start(t, "serve", "--socket", p.socket, "--model", "../../demo/lota-tiny.gguf", "--measure=false")
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if r, err := p.client.Get("http://engine/health"); err == nil {
			r.Body.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("a dead engine's socket is not taken over: %s", again.stderr.String())
		}
	}
}

func TestWithoutLibraries(t *testing.T) {
	p := start(t, "serve", "--socket", filepath.Join(t.TempDir(), "s"), "--model", "x.gguf", "--libraries", t.TempDir())
	if err := p.exit(t, 30*time.Second); err == nil || !strings.Contains(p.stderr.String(), "lacks llama.cpp's libraries") {
		t.Errorf("%v, %s", err, p.stderr.String())
	}
}

func TestMissingModel(t *testing.T) {
	if _, err := library.Find(""); err != nil {
		t.Skipf("llama.cpp's libraries are not here: %v", err)
	}
	p := start(t, "serve", "--socket", filepath.Join(t.TempDir(), "s"), "--model", "x.gguf")
	if err := p.exit(t, 30*time.Second); err == nil || !strings.Contains(p.stderr.String(), "engine_start_failed") {
		t.Errorf("%v, %s", err, p.stderr.String())
	}
}

// TestDamagedModel: what llama.cpp says of a file that it cannot load is said.
func TestDamagedModel(t *testing.T) {
	if _, err := library.Find(""); err != nil {
		t.Skipf("llama.cpp's libraries are not here; run lotabots-engine install: %v", err)
	}
	model := filepath.Join(t.TempDir(), "m.gguf")
	if err := os.WriteFile(model, []byte("GGUF\x03\x00\x00\x00 and nothing else"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "serve", "--socket", filepath.Join(t.TempDir(), "s"), "--model", model, "--measure=false")
	if err := <-p.exited; err == nil || !strings.Contains(p.stderr.String(), "gguf_init_from") {
		t.Errorf("ended with %v, saying %s", err, p.stderr.String())
	}
}

func TestDevicesAreJSONLines(t *testing.T) {
	c := exec.Command(os.Args[0], "devices")
	c.Env = append(os.Environ(), "LOTABOTS_ENGINE_TEST=run")
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(out) {
		var d struct{ UUID, Name, Health string }
		if err := json.Unmarshal(line, &d); err != nil || d.Health == "" {
			t.Errorf("%q: %v", line, err)
		}
	}
}

// A stop that comes while the model loads is no failure either.
func TestTermWhileLoading(t *testing.T) {
	if _, err := library.Find(""); err != nil {
		t.Skipf("llama.cpp's libraries are not here: %v", err)
	}
	socket := filepath.Join(t.TempDir(), "s")
	p := start(t, "serve", "--socket", socket, "--model", "../../demo/lota-tiny.gguf", "--measure=false")
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("no socket: %s", p.stderr.String())
		}
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.exit(t, 30*time.Second); err != nil {
		t.Errorf("exit: %v: %s", err, p.stderr.String())
	}
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}
