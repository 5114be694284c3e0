package device

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lotabots/lotabots/cluster/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func discover(t *testing.T, c Config) []Device {
	t.Helper()
	devices, err := Discover(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return devices
}

// script is a stand-in for lotabots-engine: a shell script, told by its first line what it prints.
func script(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lotabots-engine")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	gpuA = `{"uuid":"GPU-a","name":"NVIDIA A","memory_total":1000,"memory_free":900,"utilisation":0.5,"health":"ok"}`
	gpuB = `{"uuid":"GPU-b","name":"NVIDIA B","memory_total":2000,"memory_free":100,"utilisation":-1,"health":"degraded"}`
	lost = `{"uuid":"","name":"GPU 1","utilisation":-1,"health":"lost"}`
)

func TestDiscoverSimulated(t *testing.T) {
	got := discover(t, Config{Node: "n1", Kind: KindSimulated, Simulated: 2, MemoryMB: 8})
	if len(got) != 2 || got[0].ID == got[1].ID || got[0].ID != "gpu/sim-n1-0" {
		t.Fatalf("%+v", got)
	}
	for _, d := range got {
		if !strings.HasPrefix(d.Name, "SIMULATED ") || d.MemoryTotal != 8<<20 || d.Kind != KindSimulated || d.Index != -1 {
			t.Errorf("%+v", d)
		}
		if len(d.Links) != 1 || d.Links[0].By != LinkNVLink || d.Links[0].To == d.ID {
			t.Errorf("%+v", d.Links)
		}
	}
}

func TestDiscoverCPU(t *testing.T) {
	got := discover(t, Config{Node: "n1", Kind: KindCPU})
	if len(got) != 1 || got[0].ID != "cpu/n1" || got[0].Index != -1 || !strings.Contains(got[0].Name, "core") {
		t.Fatalf("%+v", got)
	}
	if bound := readLimits(os.DirFS("/")); got[0].MemoryTotal < 64<<20 || got[0].MemoryTotal > bound.memory {
		t.Errorf("%d bytes, of at most %d", got[0].MemoryTotal, bound.memory)
	}
	if capped := discover(t, Config{Node: "n1", Kind: KindCPU, MemoryMB: 32}); capped[0].MemoryTotal != 32<<20 {
		t.Errorf("a cap of 32 MiB gives %d bytes", capped[0].MemoryTotal)
	}
}

func TestDiscoverNVIDIA(t *testing.T) {
	helper := script(t, `[ "$*" = devices ] || exit 9
cat <<'.'
`+gpuA+"\n"+lost+"\n"+gpuB+"\n"+gpuA+`
.`)
	for _, kind := range []string{KindNVIDIA, KindAuto, ""} {
		got := discover(t, Config{Kind: kind, Helper: helper})
		if len(got) != 2 || got[0].ID != "gpu/GPU-a" || got[0].Index != 0 || got[1].ID != "gpu/GPU-b" || got[1].Index != 2 || got[1].MemoryTotal != 2000 {
			t.Errorf("%q finds %+v", kind, got)
		}
	}
}

func TestDiscoverWithoutGPU(t *testing.T) {
	for helper, want := range map[string]string{
		"":                  "not on this machine",
		"/no/such/file":     "listing GPUs",
		script(t, `exit 0`): "no NVIDIA GPU",
		script(t, `echo {`): "no JSON",
		script(t, `echo "this build has no NVML" >&2`):     "this build has no NVML",
		script(t, `echo first >&2; echo last >&2; exit 1`): ": last",
	} {
		_, err := Discover(t.Context(), Config{Kind: KindNVIDIA, Helper: helper})
		if spec.CodeOf(err) != spec.CodeEngineUnavailable || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", helper, err, want)
		}
		if got := discover(t, Config{Node: "n1", Kind: KindAuto, Helper: helper}); len(got) != 1 || got[0].Kind != KindCPU {
			t.Errorf("auto with %s finds %+v", helper, got)
		}
	}
}

func TestDiscoverRefuses(t *testing.T) {
	for _, c := range []Config{{Kind: "tpu"}, {Kind: KindSimulated}, {Kind: KindSimulated, Simulated: 1}, {FaultFile: "f"}, {Kind: KindCPU, FaultFile: "f"}} {
		if got, err := Discover(t.Context(), c); spec.CodeOf(err) != spec.CodeInvalidRequest {
			t.Errorf("%+v gives %v, %v", c, got, err)
		}
	}
	if got := discover(t, Config{Kind: KindNone}); len(got) != 0 {
		t.Errorf("none finds %+v", got)
	}
}

// A told collects readings and events.
type told struct {
	sync.Mutex
	last   map[spec.DeviceID]Reading
	count  map[spec.DeviceID]int
	events []Event
}

// watch runs Watch until the test ends.
func watch(t *testing.T, c Config, devices []Device) *told {
	t.Helper()
	seen := &told{last: map[spec.DeviceID]Reading{}, count: map[spec.DeviceID]int{}}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		Watch(ctx, c, devices, func(id spec.DeviceID, r Reading) {
			seen.Lock()
			defer seen.Unlock()
			seen.last[id] = r
			seen.count[id]++
		}, func(e Event) {
			seen.Lock()
			defer seen.Unlock()
			seen.events = append(seen.events, e)
		})
	}()
	t.Cleanup(func() { stop(); <-done })
	return seen
}

// until waits for a reading of the device that is as wanted.
func (s *told) until(t *testing.T, id spec.DeviceID, what string, ok func(r Reading, count int) bool) Reading {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		s.Lock()
		r, n := s.last[id], s.count[id]
		s.Unlock()
		if n > 0 && ok(r, n) {
			return r
		}
		if time.Now().After(end) {
			t.Fatalf("%s: last of %d readings of %s: %+v", what, n, id, r)
		}
	}
}

// happened waits for n events and returns them.
func (s *told) happened(t *testing.T, n int) []Event {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		s.Lock()
		events := slices.Clone(s.events)
		s.Unlock()
		if len(events) >= n {
			return events
		}
		if time.Now().After(end) {
			t.Fatalf("%d events: %+v, want %d", len(events), events, n)
		}
	}
}

func TestWatchCPU(t *testing.T) {
	c := Config{Node: "n1", Kind: KindCPU, MemoryMB: 16, Interval: 20 * time.Millisecond}
	seen := watch(t, c, discover(t, c))
	r := seen.until(t, "cpu/n1", "readings", func(_ Reading, n int) bool { return n > 3 })
	if r.Health != Healthy || r.MemoryFree == 0 || r.MemoryFree > 16<<20 || r.Utilisation > 100 {
		t.Errorf("%+v", r)
	}
}

func TestCPUMeter(t *testing.T) {
	m := cpuMeter{}
	first := m.utilisation(t.Context())
	spin := time.Now()
	for time.Since(spin) < 150*time.Millisecond { // a core at work
	}
	if second := m.utilisation(t.Context()); first != 0 || second == 0 || second > 100 {
		t.Errorf("%d%%, then %d%% after work", first, second)
	}
	m.all = math.MaxFloat64 // a clock that ran back
	if got := m.utilisation(t.Context()); got != 0 {
		t.Errorf("%d%%", got)
	}
}

func TestWatchSimulated(t *testing.T) {
	faults := &Faults{}
	c := Config{Node: "n1", Kind: KindSimulated, Simulated: 2, MemoryMB: 8, Faults: faults, Interval: 5 * time.Millisecond}
	seen := watch(t, c, discover(t, c))
	seen.until(t, "gpu/sim-n1-0", "health", func(r Reading, _ int) bool { return r.Health == Healthy && r.MemoryFree == 8<<20 })
	faults.Set("gpu/sim-n1-0", "lost")
	seen.until(t, "gpu/sim-n1-0", "the fault", func(r Reading, _ int) bool { return r.Health == "lost" })
	seen.until(t, "gpu/sim-n1-1", "the other", func(r Reading, _ int) bool { return r.Health == Healthy })
	faults.Set("gpu/sim-n1-0", Healthy)
	seen.until(t, "gpu/sim-n1-0", "healing", func(r Reading, _ int) bool { return r.Health == Healthy })
}
