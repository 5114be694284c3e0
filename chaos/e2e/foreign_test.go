//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A foreign is an engine that nobody here wrote, on a node whose models are loaded on demand.
type foreign struct {
	*shelf
	program string   // what the command line of its process has
	flags   []string // of a deployment
}

// TestLlamaCppPython: llama-cpp-python's server, which knows nothing of LotaBots, as a preset of the node's file. It
// serves one request at a time.
func TestLlamaCppPython(t *testing.T) {
	python := llamaCppPython(t)
	// Its /v1/models waits for the request that is being served: that would be no sign of health.
	preset := fmt.Sprintf(`[{name: llama-cpp-python, health: /openapi.json, ready: /v1/models, capabilities: [chat, completions], env: {API_KEY: "{key}"},
		command: [%q, -m, llama_cpp.server, --host, 127.0.0.1, --port, "{port}", --model, "{model}", --model_alias, "{name}", --n_ctx, "{context}",
		--interrupt_requests, "false", --n_threads_batch, "1", "{options}"], options: {threads: {type: int, min: 1, max: 64, flag: --n_threads}}}]`, python)
	live(t, "llama_cpp.server", []string{"--engines-presets", preset}, "--engine", "llama-cpp-python", "--slots", "1", "--context", "2048", "--option", "threads=1")
}

// TestLlamaServerLives: the same with llama.cpp's own server.
func TestLlamaServerLives(t *testing.T) {
	live(t, "llama-server", []string{"--engines-llama-server", llamaServer(t)}, "--engine", "llama-server", "--slots", "2", "--context", "2048", "--option", "threads=1")
}

// TestOllamaLives: the same with Ollama.
func TestOllamaLives(t *testing.T) {
	live(t, "serve", []string{"--engines-ollama", ollamaBinary(t)}, "--engine", "ollama", "--slots", "2", "--context", "2048", "--option", "threads=1")
}

// live takes an engine through what happens to engines.
func live(t *testing.T, program string, node []string, deployment ...string) {
	f := &foreign{newShelf(t, 1, append(node, "--engines-linger", "2m")...), program, append(deployment, "--min-resident", "1s")}
	for _, name := range []string{"a", "b"} {
		f.deploy(name, 600, f.flags...)
	}
	f.comesByDemand()
	f.makesRoom()
	for _, fault := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP} {
		f.comesBack(fault)
	}
	f.stopsForWhoHasGone()
	f.outlivesItsNode()
	f.restarts()

	f.must(nil, append([]string{"deploy", "b", "--data", f.dir, "--model", "demo", "--on-demand", "--memory-mb", "600", "--keep-alive", "1s"}, f.flags...)...)
	f.mustAsk("b")
	within(t, 30*time.Second, "the idle model is unloaded", func() bool { return f.stands("b") == "cold" && len(f.running()) == 0 })
	began := time.Now()
	f.mustAsk("b")
	t.Logf("loaded again after it was idle, and answered, within %v", time.Since(began).Round(time.Millisecond))

	for _, name := range []string{"a", "b"} {
		f.must(nil, "deployments", "rm", name, "--data", f.dir)
	}
	within(t, 30*time.Second, "nothing is left", func() bool {
		rooms, _ := filepath.Glob(filepath.Join(f.dir, "engines", "*.d"))
		return len(f.instances()) == 0 && f.rooms() == 0 && len(rooms) == 0
	})
}

// running are the processes of the program in the node's rooms, the oldest first.
func (f *foreign) running() (pids []int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, dir := range dirs {
		at, err := os.Readlink(dir)
		if err != nil || !strings.HasPrefix(at, filepath.Join(f.dir, "engines")) {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(filepath.Dir(dir), "cmdline"))
		if bytes.Contains(line, []byte(f.program+"\x00")) && !bytes.HasPrefix(line, []byte("/bin/sh\x00")) && !bytes.Contains(line, []byte("engine-shim")) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// the is the one process that there must be.
func (f *foreign) the() int {
	f.t.Helper()
	pids := f.running()
	if len(pids) != 1 {
		f.t.Fatalf("%d processes of %s run: %v", len(pids), f.program, pids)
	}
	return pids[0]
}

func (f *foreign) comesByDemand() {
	f.t.Helper()
	if pids := f.running(); len(pids) > 0 {
		f.t.Errorf("it runs before anybody has asked: %v", pids)
	}
	began := time.Now()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if err := f.ask(f.t.Context(), "a", i%2 == 0); err != nil {
				f.t.Errorf("request %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	f.t.Logf("8 requests to a cold model were answered within %v", time.Since(began).Round(time.Millisecond))
	if n := f.loads("a"); n != 1 {
		f.t.Errorf("%d loads", n)
	}
	f.the()
}

func (f *foreign) makesRoom() {
	f.t.Helper()
	time.Sleep(1100 * time.Millisecond) // it has served long enough to go
	before := f.the()
	f.mustAsk("b")
	if a, b := f.stands("a"), f.stands("b"); a != "cold" || b != "ready" || f.the() == before {
		f.t.Errorf("a is %s, b is %s, process %d was %d", a, b, f.the(), before)
	}
}

// comesBack has the engine crash or hang under load.
func (f *foreign) comesBack(fault syscall.Signal) {
	f.t.Helper()
	before := f.the()
	if err := syscall.Kill(before, fault); err != nil {
		f.t.Fatal(err)
	}
	began, failed := time.Now(), 0
	for {
		ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
		err := f.ask(ctx, "b", true)
		cancel()
		if now := f.running(); err == nil && len(now) == 1 && now[0] != before {
			break
		}
		if failed++; time.Since(began) > 3*time.Minute {
			f.t.Fatalf("%v after %v: %v", time.Since(began), fault, err)
		}
		f.t.Logf("%v after %v: %v", time.Since(began).Round(time.Millisecond), fault, err)
		time.Sleep(200 * time.Millisecond)
	}
	f.t.Logf("served again %v after %v, %d requests failed", time.Since(began).Round(time.Millisecond), fault, failed)
}

// stopsForWhoHasGone: a client that leaves in the middle of a long answer frees its slot.
func (f *foreign) stopsForWhoHasGone() {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	defer cancel()
	long, _ := json.Marshal(chat("b", 1, 400, true))
	request, err := http.NewRequestWithContext(ctx, "POST", "http://"+f.api+"/v1/chat/completions", bytes.NewReader(long))
	if err != nil {
		f.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+f.key)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := answer.Body.Read(make([]byte, 1)); err != nil || answer.StatusCode != http.StatusOK {
		f.t.Fatalf("HTTP %d: %v", answer.StatusCode, err)
	}
	cancel()
	answer.Body.Close()
	within(f.t, 30*time.Second, "the request is gone", func() bool { return f.of("b").Running == 0 })
	began := time.Now()
	f.mustAsk("b")
	if took := time.Since(began); took > 30*time.Second {
		f.t.Errorf("the next request took %v", took)
	}
}

// outlivesItsNode: the node is killed, and the next process takes the engine over.
func (f *foreign) outlivesItsNode() {
	f.t.Helper()
	engine := f.the()
	if err := f.process.Process.Kill(); err != nil {
		f.t.Fatal(err)
	}
	<-f.ended
	f.again()
	f.mustAsk("b")
	if now := f.the(); now != engine {
		f.t.Errorf("process %d serves after a kill, and %d did", now, engine)
	}
}

// restarts: the node is ended well, and the next process takes the engine over.
func (f *foreign) restarts() {
	f.t.Helper()
	engine := f.the()
	if err := f.process.Process.Signal(syscall.SIGTERM); err != nil {
		f.t.Fatal(err)
	}
	<-f.ended
	f.again()
	f.mustAsk("b")
	if now := f.the(); now != engine {
		f.t.Errorf("process %d serves after a restart, and %d did", now, engine)
	}
}

// again starts the node anew, its log going on.
func (f *foreign) again() {
	f.t.Helper()
	out, err := os.OpenFile(f.log, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	defer out.Close()
	process := exec.Command(binary(f.t), "node", "run", "--data", f.dir)
	process.Stdout, process.Stderr = out, out
	if err := process.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.process = process
	go func() { f.ended <- process.Wait() }()
	within(f.t, time.Minute, "the node is ready again", func() bool { return f.get("/readyz") == http.StatusOK })
}

// llamaCppPython is a Python that has llama-cpp-python's server.
func llamaCppPython(t *testing.T) string {
	t.Helper()
	found := os.Getenv("LOTABOTS_TEST_LLAMA_CPP_PYTHON")
	if found == "" {
		if cache, err := os.UserCacheDir(); err == nil {
			found = filepath.Join(cache, "lotabots", "bench", "llama-cpp-python", "bin", "python")
		}
	}
	if _, err := os.Stat(found); err != nil {
		t.Skip("llama-cpp-python is not on this machine: python3 -m venv DIR && DIR/bin/pip install 'llama-cpp-python[server]' builds it within minutes; " +
			"DIR is lotabots/bench/llama-cpp-python in the user's cache, or name its python by LOTABOTS_TEST_LLAMA_CPP_PYTHON")
	}
	out, err := exec.Command(found, "-c", "import llama_cpp, llama_cpp.server.app; print(llama_cpp.__version__)").Output()
	if err != nil {
		t.Fatalf("%s: %v", found, err)
	}
	t.Logf("llama-cpp-python %s", bytes.TrimSpace(out))
	return found
}

// rooms counts the processes that stand in the rooms of engines.
func (s *shelf) rooms() (n int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, dir := range dirs {
		if at, err := os.Readlink(dir); err == nil && strings.HasPrefix(at, filepath.Join(s.dir, "engines")) {
			n++
		}
	}
	return n
}
