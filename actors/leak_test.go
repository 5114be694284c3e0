package actors

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/actors/instance"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// cyclesVariable is how many cycles TestLoadsLeaveNothing runs, where somebody has the time: 1000.
const cyclesVariable = "LOTABOTS_TEST_CYCLES"

// what a process has: descriptors, goroutines, processes in the node's engine rooms, bytes of heap.
type holdings struct {
	files, goroutines, processes int
	heap                         uint64
}

func held(t *testing.T, n *testNode) holdings {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc here")
	}
	all, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	h := holdings{files: len(files), goroutines: runtime.NumGoroutine()}
	for _, e := range all {
		if dir, err := os.Readlink(filepath.Join("/proc", e.Name(), "cwd")); err == nil && strings.HasPrefix(dir, n.cfg.RunDir) {
			h.processes++
		}
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	h.heap = m.HeapAlloc
	return h
}

// TestLoadsLeaveNothing: the real engine is loaded, asked and unloaded time and again,
// by way of its device's actor; what it took is back each time.
func TestLoadsLeaveNothing(t *testing.T) {
	cycles := 12
	if v := os.Getenv(cyclesVariable); v != "" {
		var err error
		if cycles, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	}
	path := helper(t)
	n := newMesh(t).start("a", everything, func(c *Config) {
		c.Engines.Helper, c.Policy = path, instance.Policy{First: 5 * time.Millisecond}
		c.BlobPath = func(context.Context, *wire.LoadModel, func(float64)) (string, error) { return demo, nil }
	})
	cycle := func(epoch uint64) {
		m := &wire.LoadModel{Instance: "i", Deployment: "lota", Version: 1, Epoch: epoch, Model: "lota-tiny", Digest: []byte("d"), Engine: "embedded", Slots: 2, MemoryBytes: 900 << 20}
		ack, err := n.Command(within(t, 30*time.Second), "a", deviceOf(n, 0), m)
		mustCode(t, ack, err, "")
		n.awaitState(t, "i", isReady)
		s, err := askLota(n, spec.Target{Device: deviceOf(n, 0), Instance: "i"}, 3)
		if err != nil {
			t.Fatal(err)
		}
		_ = s.Close()
		ack, err = n.Command(within(t, 30*time.Second), "a", deviceOf(n, 0), &wire.UnloadModel{Instance: "i", Epoch: epoch, Drain: true})
		mustCode(t, ack, err, "")
		n.awaitState(t, "i", wire.InstanceState_INSTANCE_STATE_GONE)
		n.mu.Lock()
		n.digests = nil // the test's own memory
		n.mu.Unlock()
	}
	for i := range 3 { // pools and caches fill
		cycle(uint64(2 * i))
	}
	before := held(t, n)
	began := time.Now()
	for i := range cycles {
		cycle(uint64(100 + 2*i))
	}
	var after holdings
	await(t, "all is back", func() bool {
		after = held(t, n)
		return after.processes == 0 && after.files <= before.files+2 && after.goroutines <= before.goroutines+3
	}, func() string { return strings.Join([]string{show(before), show(after)}, " then ") })
	t.Logf("%d cycles in %s: %s then %s", cycles, time.Since(began).Round(time.Second), show(before), show(after))
	if most := before.heap + 8<<20; after.heap > most {
		t.Errorf("%d bytes of heap before, %d after", before.heap, after.heap)
	}
}

func show(h holdings) string {
	return strconv.Itoa(h.files) + " files, " + strconv.Itoa(h.goroutines) + " goroutines, " + strconv.Itoa(h.processes) + " processes, " +
		strconv.FormatUint(h.heap>>10, 10) + " KiB of heap"
}
