package actors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lotabots/lotabots/actors/instance"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// engineProcess is the process that serves in an engine's room.
func engineProcess(t *testing.T, n *testNode, id, program string) int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Skip("no /proc here")
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		dir, _ := os.Readlink(filepath.Join("/proc", e.Name(), "cwd"))
		line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		words := bytes.Split(line, []byte{0})
		if dir == filepath.Join(n.cfg.RunDir, id+".d", "home") && len(words) > 2 && filepath.Base(string(words[0])) == program && string(words[1]) == "serve" {
			return pid
		}
	}
	t.Fatalf("no process of %s", id)
	return 0
}

// realNode runs the shipped model under the default policy, but for its restarts.
func realNode(t *testing.T, id string) (*testNode, spec.Target) {
	t.Helper()
	path := helper(t)
	n := newMesh(t).start("a", everything, func(c *Config) {
		c.Engines.Helper, c.Policy = path, instance.Policy{First: 5 * time.Millisecond}
		c.BlobPath = func(context.Context, *wire.LoadModel, func(float64)) (string, error) { return demo, nil }
	})
	m := &wire.LoadModel{Instance: id, Deployment: "lota", Version: 1, Epoch: 5, Model: "lota-tiny", Digest: []byte("d"), Engine: "embedded", Slots: 2, MemoryBytes: 100 << 20}
	ack, err := n.Command(within(t, 30*time.Second), n.cfg.Node, deviceOf(n, 0), m)
	mustCode(t, ack, err, "")
	n.awaitState(t, id, isReady)
	return n, spec.Target{Device: deviceOf(n, 0), Instance: spec.InstanceID(id)}
}

func askLota(n *testNode, target spec.Target, tokens int) (spec.Stream, error) {
	body := fmt.Sprintf(`{"model":"lota","temperature":0,"stream":true,"max_tokens":%d,"messages":[{"role":"user","content":"Count from 1 to 150."}]}`, tokens)
	c := call("/v1/chat/completions", true)
	c.Deployment, c.Version = "lota", 1
	return n.Opener().Open(context.Background(), target, c, []byte(body))
}

// TestHungEngineUnderLoad: the real engine is stopped amid an answer. Its stream
// breaks soon, so that somebody else can go on with it, and the engine is replaced.
func TestHungEngineUnderLoad(t *testing.T) {
	n, target := realNode(t, "lota-1")
	pid := engineProcess(t, n, "lota-1", "lotabots-engine")
	began := time.Time{}
	piece := make([]byte, 64)
	for try := 0; began.IsZero(); try++ { // an answer may be over before its engine is stopped
		s, err := askLota(n, target, 2000)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Read(piece); err != nil {
			t.Fatal(err)
		}
		began = time.Now()
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, s); err == nil && try < 10 {
			if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			began = time.Time{}
		} else if !errors.Is(err, spec.ErrBroken) {
			t.Fatalf("the stream ended with %v", err)
		}
		_ = s.Close()
	}
	took := time.Since(began)
	t.Logf("the stream broke %s after the engine had been stopped", took.Round(10*time.Millisecond))
	if took > 30*time.Second { // 2 s on a machine that is not overloaded
		t.Errorf("found after %s", took)
	}
	wantReplaced(t, n, "lota-1", pid)
	if got := gathered(t, n, "lotabots_engine_restarts_total"); got != 1 {
		t.Errorf("%v restarts counted", got)
	}
	if !phaseTold(n, "lota-1", instance.PhaseLoad) { // other phases may be over before a digest leaves
		t.Error("it was not told that the model is being loaded")
	}
	families, err := n.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	phases := map[string]bool{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "lotabots_instance_load_seconds" && m.GetHistogram().GetSampleCount() == 2 {
				phases[m.GetLabel()[1].GetValue()] = true
			}
		}
	}
	if len(phases) != 4 {
		t.Errorf("counted phases %v", phases)
	}
	s, err := askLota(n, target, 5)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, s); err != nil {
		t.Error(err)
	}
}

// TestHungEngineWhenIdle: nobody asks it anything, but a canary does.
func TestHungEngineWhenIdle(t *testing.T) {
	t.Parallel()
	n, _ := realNode(t, "lota-1")
	pid := engineProcess(t, n, "lota-1", "lotabots-engine")
	began := time.Now()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	n.awaitState(t, "lota-1", wire.InstanceState_INSTANCE_STATE_RESTARTING)
	t.Logf("found %s after the engine had been stopped", time.Since(began).Round(10*time.Millisecond))
	wantReplaced(t, n, "lota-1", pid)
}

func wantReplaced(t *testing.T, n *testNode, id string, pid int) {
	t.Helper()
	var reasons []string
	await(t, "the restart is told", func() bool {
		reasons = reasonsTold(n, id)
		return len(reasons) > 0
	})
	if !strings.HasPrefix(reasons[0], "hung: ") {
		t.Errorf("the reasons told: %q", reasons)
	}
	n.awaitState(t, id, isReady)
	if err := syscall.Kill(pid, 0); err == nil {
		t.Error("the engine that hung still runs")
	}
}

func phaseTold(n *testNode, id, phase string) bool {
	for _, d := range n.told() {
		for _, device := range d.Devices {
			for _, in := range device.Instances {
				if in.Instance == id && in.Phase == phase {
					return true
				}
			}
		}
	}
	return false
}

func reasonsTold(n *testNode, id string) (reasons []string) {
	for _, d := range n.told() {
		for _, device := range d.Devices {
			for _, in := range device.Instances {
				if in.Instance == id && in.State == wire.InstanceState_INSTANCE_STATE_RESTARTING {
					reasons = append(reasons, in.Reason)
				}
			}
		}
	}
	return reasons
}

// TestHangWithAHealthyHealthPage: the page is well, the load is told, and no token moves.
func TestHangWithAHealthyHealthPage(t *testing.T) {
	t.Parallel()
	bend, _ := withServer(t)
	n := newMesh(t).start("a", everything, bend, func(c *Config) { c.Policy.Hang = 0 })
	ack, err := n.Command(within(t, 30*time.Second), "a", deviceOf(n, 0), serverModel("i", 1, 100))
	mustCode(t, ack, err, "")
	n.awaitState(t, "i", isReady)
	s, err := n.Opener().Open(t.Context(), spec.Target{Device: deviceOf(n, 0), Instance: "i"}, call("/wait", true), []byte(`{"stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := io.Copy(io.Discard, s); !errors.Is(err, spec.ErrBroken) {
		t.Errorf("the stream ended with %v", err)
	}
	await(t, "the restart is told", func() bool { return len(reasonsTold(n, "i")) > 0 })
	n.awaitState(t, "i", isReady)
	if l := gathered(t, n, "lotabots_actor_engine_crashes_total"); l != 1 {
		t.Errorf("%v crashes", l)
	}
}
