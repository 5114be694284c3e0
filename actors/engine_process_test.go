package actors

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
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

	"github.com/lotabots/lotabots/actors/instance"
	"github.com/lotabots/lotabots/actors/llamacpp/library"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// llamaServerMain stands for llama-server, as a process that can be killed: it
// serves what the preset asks for, and answers each request by its process id.
func llamaServerMain(args []string) int {
	f := flag.NewFlagSet("llama-server", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	host, port, model := f.String("host", "", ""), f.String("port", "", ""), f.String("m", "", "")
	for _, other := range []string{"np", "c", "ngl", "alias", "t", "pooling"} {
		f.String(other, "", "")
	}
	f.Bool("metrics", false, "")
	f.Bool("embeddings", false, "")
	if err := f.Parse(args); err != nil {
		fmt.Println(err)
		return 2
	}
	if raw, _ := os.ReadFile(*model); strings.Contains(string(raw), "broken") {
		fmt.Println("error: the model is broken")
		return 1
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/props", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"total_slots":2,"default_generation_settings":{"n_ctx":512}}`)
	})
	if raw, _ := os.ReadFile(*model); strings.Contains(string(raw), "fragile") {
		mux.HandleFunc("POST /v1/completions", func(http.ResponseWriter, *http.Request) {
			fmt.Println("fatal: the first request was too much")
			os.Exit(1)
		})
	}
	mux.HandleFunc("/metrics", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/pid", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, os.Getpid()) })
	mux.HandleFunc("/wait", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: 1\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	fmt.Println(http.ListenAndServe(net.JoinHostPort(*host, *port), mux))
	return 1
}

// withServer lets the node run the stand-in, on the model file that is returned.
func withServer(t *testing.T) (bend func(*Config), model string) {
	t.Helper()
	dir := t.TempDir()
	script, model := filepath.Join(dir, "llama-server"), filepath.Join(dir, "model.gguf")
	text := "#!/bin/sh\nLOTABOTS_ACTORS_TEST=llama-server exec '" + os.Args[0] + "' \"$@\"\n"
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(model, []byte("GGUF"), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(c *Config) {
		c.Engines.LlamaServer = script
		c.BlobPath = func(context.Context, *wire.LoadModel, func(float64)) (string, error) { return model, nil }
	}, model
}

func serverModel(id string, epoch, memoryMB uint64) *wire.LoadModel {
	return &wire.LoadModel{Instance: id, Deployment: "d", Version: 3, Epoch: epoch, Model: "m", Digest: []byte("d"), Engine: "llama-server", MemoryBytes: memoryMB << 20}
}

func pidOf(t *testing.T, n *testNode, target spec.Target) int {
	t.Helper()
	s, err := n.Opener().Open(context.Background(), target, call("/pid", false), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	raw, err := io.ReadAll(s)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(raw))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// TestCrashedEnginesComeBack: a killed engine breaks its streams, is away for a
// moment and comes back; one that is killed time and again has failed.
func TestCrashedEnginesComeBack(t *testing.T) {
	t.Parallel()
	bend, _ := withServer(t)
	n := newMesh(t).start("a", everything, bend, func(c *Config) { c.Policy.First = time.Second })
	ack, err := n.Command(within(t, 30*time.Second), "a", deviceOf(n, 0), serverModel("i", 1, 100))
	mustCode(t, ack, err, "")
	l := n.awaitState(t, "i", isReady)
	if l.Slots != 2 || l.Context != 512 {
		t.Errorf("the engine's own slots and context are not told: %v", l)
	}
	target := spec.Target{Device: deviceOf(n, 0), Instance: "i"}
	s := mustOpen(t, n, target, call("/wait", true))
	last := 0
	for crash := range 3 {
		pid := pidOf(t, n, target)
		if pid == last {
			t.Fatal("the engine was not started anew")
		}
		last = pid
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if crash == 0 {
			if _, err := io.ReadAll(s); err == nil {
				t.Error("a stream ended well though its engine was killed")
			}
		}
		if crash == 2 {
			break
		}
		n.awaitState(t, "i", wire.InstanceState_INSTANCE_STATE_RESTARTING)
		_, err := n.Opener().Open(t.Context(), target, call("/pid", false), nil)
		mustReject(t, err, spec.RejectUnhealthy)
		n.awaitState(t, "i", isReady)
	}
	l = n.awaitState(t, "i", wire.InstanceState_INSTANCE_STATE_FAILED)
	if l.Reason == "" {
		t.Error("no reason is told")
	}
	ack, err = n.Command(within(t, 30*time.Second), "a", deviceOf(n, 0), &wire.Describe{})
	mustCode(t, ack, err, "")
	if ack.Load.MemoryFree != ack.Load.MemoryTotal {
		t.Errorf("a failed instance holds memory: %v", ack.Load)
	}
	if got := gathered(t, n, "lotabots_actor_engine_crashes_total"); got != 3 {
		t.Errorf("%v crashes counted", got)
	}
}

func TestEngineThatDoesNotStartSaysWhy(t *testing.T) {
	for _, c := range [][2]string{{"broken", "the model is broken"}, {"fragile", "the first request was too much"}} {
		t.Run(c[0], func(t *testing.T) { startsBadly(t, c[0], c[1]) })
	}
}

func startsBadly(t *testing.T, content, said string) {
	t.Helper()
	bend, model := withServer(t)
	if err := os.WriteFile(model, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	n := newMesh(t).start("a", everything, bend)
	ack, err := n.Command(within(t, 30*time.Second), "a", deviceOf(n, 0), serverModel("i", 1, 100))
	mustCode(t, ack, err, "") // loading goes on after the answer
	l := n.awaitState(t, "i", wire.InstanceState_INSTANCE_STATE_FAILED)
	if !strings.Contains(l.Reason, said) || len(l.Reason) > 200 {
		t.Errorf("reason %q", l.Reason)
	}
}

// TestMemoryEpochsAndUnload: what the reconciler relies on, by way of commands.
func TestMemoryEpochsAndUnload(t *testing.T) {
	t.Parallel()
	bend, _ := withServer(t)
	n := newMesh(t).start("a", everything, bend)
	command := func(m *wire.LoadModel, want spec.Code) *wire.Ack {
		t.Helper()
		ack, err := n.Command(within(t, 30*time.Second), "a", deviceOf(n, 0), m)
		mustCode(t, ack, err, want)
		return ack
	}
	unload := func(id string, epoch uint64, drain bool, want spec.Code) {
		t.Helper()
		ack, err := n.Command(within(t, 30*time.Second), "a", deviceOf(n, 0), &wire.UnloadModel{Instance: id, Epoch: epoch, Drain: drain, Reason: "test"})
		mustCode(t, ack, err, want)
	}
	if ack := command(serverModel("i", 10, 700), ""); ack.Load.MemoryFree != 300<<20 {
		t.Errorf("free %d at once, want 300 MiB", ack.Load.MemoryFree)
	}
	command(serverModel("j", 11, 700), spec.CodeOutOfMemory)
	n.awaitState(t, "i", isReady)
	command(serverModel("i", 9, 700), spec.CodeStaleEpoch)
	unload("i", 9, false, spec.CodeStaleEpoch)
	command(serverModel("i", 10, 700), "") // again: confirmed
	target := spec.Target{Device: deviceOf(n, 0), Instance: "i"}
	pid := pidOf(t, n, target)
	s := mustOpen(t, n, target, call("/wait", true))
	unload("i", 10, true, "")
	n.awaitState(t, "i", wire.InstanceState_INSTANCE_STATE_DRAINING)
	_, err := n.Opener().Open(t.Context(), target, call("/pid", false), nil)
	mustReject(t, err, spec.RejectDraining)
	command(serverModel("j", 11, 700), "") // waits for i's memory
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	n.awaitState(t, "i", wire.InstanceState_INSTANCE_STATE_GONE)
	await(t, "the engine's process is gone", func() bool { return syscall.Kill(pid, 0) != nil })
	n.awaitState(t, "j", isReady)
	unload("none", 1, false, "")
	unknown := serverModel("k", 12, 1)
	unknown.Engine = "no-such"
	command(unknown, spec.CodeEngineUnavailable) // another node may have it
}

// TestShutdownLeavesNoEngine: nothing that was started outlives the node's actors.
func TestShutdownLeavesNoEngine(t *testing.T) {
	bend, _ := withServer(t)
	n := newMesh(t).start("a", everything, bend)
	ack, err := n.Command(within(t, 30*time.Second), "a", deviceOf(n, 0), serverModel("i", 1, 100))
	mustCode(t, ack, err, "")
	n.awaitState(t, "i", isReady)
	pid := pidOf(t, n, spec.Target{Device: deviceOf(n, 0), Instance: "i"})
	n.stop()
	if err := syscall.Kill(pid, 0); err == nil {
		t.Error("the engine still runs")
	}
}

// built is lotabots-engine, made of this very tree, once.
var built struct {
	sync.Once
	dir, path string
	err       error
}

func removeHelper() {
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
}

func helper(t *testing.T) string {
	t.Helper()
	if _, err := library.Find(""); err != nil {
		t.Skipf("llama.cpp's libraries are not here; run lotabots-engine install: %v", err)
	}
	built.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "lotabots-actors-test"); built.err != nil { //nolint:usetesting // several tests share it
			return
		}
		built.path = filepath.Join(built.dir, "lotabots-engine")
		build := exec.Command("go", "build", "-o", built.path, "../node/cmd/lotabots-engine")
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

const demo = "../node/demo/lota-tiny.gguf"

// TestRealModel: the shipped model, by llama.cpp, through every layer of this room.
func TestRealModel(t *testing.T) {
	t.Parallel()
	path := helper(t)
	n := newMesh(t).start("a", everything, func(c *Config) {
		c.Engines.Helper, c.Policy = path, instance.Policy{First: 5 * time.Millisecond, Probe: 50 * time.Millisecond}
		c.BlobPath = func(context.Context, *wire.LoadModel, func(float64)) (string, error) { return demo, nil }
	})
	m := &wire.LoadModel{Instance: "lota-1", Deployment: "lota", Version: 1, Epoch: 5, Model: "lota-tiny", Digest: []byte("d"), Engine: "embedded", Slots: 2, MemoryBytes: 100 << 20}
	ack, err := n.Command(within(t, 30*time.Second), "a", deviceOf(n, 0), m)
	mustCode(t, ack, err, "")
	n.awaitState(t, "lota-1", isReady)
	target := spec.Target{Device: deviceOf(n, 0), Instance: "lota-1"}
	ask := func(ctx context.Context, question string, tokens int) (spec.Stream, error) {
		body := fmt.Sprintf(`{"model":"lota","temperature":0,"stream":true,"max_tokens":%d,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":%q}]}`, tokens, question)
		c := call("/v1/chat/completions", true)
		c.Deployment, c.Version = "lota", 1
		return n.Opener().Open(ctx, target, c, []byte(body))
	}
	s, err := ask(t.Context(), "What is the capital of France?", 30)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(s)
	if err != nil || s.Status() != 200 || strings.Count(string(raw), "data: ") < 3 || !strings.HasSuffix(string(raw), "data: [DONE]\n\n") {
		t.Fatalf("%d: %s, %v", s.Status(), raw, err)
	}
	l, _ := s.Load()
	for until := time.Now().Add(15 * time.Second); l.DecodeTPS == 0 && time.Now().Before(until); { // on a busy machine a short answer piles up, which teaches nothing
		if s, err = ask(t.Context(), "Count from 1 to 150.", 200); err != nil {
			t.Fatal(err)
		}
		if _, err = io.ReadAll(s); err != nil {
			t.Fatal(err)
		}
		l, _ = s.Load()
	}
	if l.DecodeTPS < 0 || l.PrefillTPS <= 0 || l.Running != 0 {
		t.Errorf("load after answers: %+v", l)
	}
	if l.DecodeTPS == 0 { // TestStreamsAndLearns has an engine that is slow enough for any machine
		t.Log("every answer piled up: this machine is too busy to learn the engine's speed")
	}
	// A client that leaves stops the generation: with both slots taken by long
	// answers that are given up, the next one is served at once.
	ctx, cancel := context.WithCancel(context.Background())
	for range 2 {
		if _, err := ask(ctx, "Count from 1 to 150.", 4000); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	await(t, "both places are free, and the engine idles", func() bool {
		l := n.load("lota-1")
		return n.Running() == 0 && l.GetRunning() == 0 && l.GetQueued() == 0
	})
	if s, err = ask(t.Context(), "What is the capital of France?", 5); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(s); err != nil {
		t.Error(err)
	}
}
