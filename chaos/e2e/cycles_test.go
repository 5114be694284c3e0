//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A footprint is what a node's process has of the machine.
type footprint struct {
	files, goroutines, threads, children, engineFiles int
	resident                                          int // MiB
}

func (f footprint) String() string {
	return fmt.Sprintf("%d file descriptors, %d goroutines, %d threads, %d MiB, %d child processes, %d files of engines",
		f.files, f.goroutines, f.threads, f.resident, f.children, f.engineFiles)
}

// TestLoadCycles loads and unloads models, eight at a time, over and over, and
// compares what the node has of the machine with what it had after the first few.
// LOTABOTS_SYSTEM=full makes it 1,000 times; by itself it is a sample of that.
func TestLoadCycles(t *testing.T) {
	const devices = 8
	cycles := 32
	if os.Getenv("LOTABOTS_SYSTEM") == "full" {
		cycles = 1000
	}
	s := newShelf(t, devices)
	names := make([]string, devices)
	for i := range names {
		names[i] = fmt.Sprint("m", i)
		s.deploy(names[i], 900, "--keep-alive", "1s")
	}
	s.cycle(names, 2*devices) // what is made once and kept
	baseline := s.settled()
	began := time.Now()
	s.cycle(names, cycles)
	after := s.settled()
	t.Logf("before: %v", baseline)
	t.Logf("after %d loads in %v: %v", cycles, time.Since(began).Round(time.Second), after)
	if n := s.loads(""); n < cycles+2*devices {
		t.Errorf("%d loads: the test proves nothing", n)
	}
	// Connections of the gateway's clients and the runtime's threads come and go a little.
	if after.files > baseline.files+4 || after.goroutines > baseline.goroutines+8 || after.threads > baseline.threads+16 {
		t.Error("something is left open by each load")
	}
	if after.children > baseline.children || after.engineFiles > baseline.engineFiles {
		t.Error("engines leave something behind")
	}
	if after.resident > baseline.resident+40+cycles/50 { // the collector's slack; 20 KiB a load
		t.Error("memory grows with each load")
	}
}

// cycle has the models loaded by a request and unloaded, so many times in all.
func (s *shelf) cycle(names []string, times int) {
	s.t.Helper()
	var wg sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(times))
	var broken atomic.Bool
	for _, name := range names {
		wg.Go(func() {
			for left.Add(-1) >= 0 && !broken.Load() {
				err := s.ask(s.t.Context(), name, true)
				for began := time.Now(); err == nil && len(s.engines(name)) > 0; time.Sleep(100 * time.Millisecond) {
					if time.Since(began) > 3*time.Minute {
						err = fmt.Errorf("it is not unloaded a minute after its last request")
					}
				}
				if err != nil {
					s.t.Errorf("%s: %v", name, err)
					broken.Store(true)
				}
			}
		})
	}
	wg.Wait()
}

// settled is the footprint once all is unloaded and what is let go has gone.
func (s *shelf) settled() footprint {
	s.t.Helper()
	within(s.t, 30*time.Second, "all models are cold", func() bool {
		for _, i := range s.instances() {
			if i.State != "cold" {
				return false
			}
		}
		return len(s.engines("")) == 0
	})
	least := s.footprint()
	for range 20 { // idle connections end, the collector gives memory back
		time.Sleep(250 * time.Millisecond)
		now := s.footprint()
		least = footprint{min(least.files, now.files), min(least.goroutines, now.goroutines), min(least.threads, now.threads),
			min(least.children, now.children), min(least.engineFiles, now.engineFiles), min(least.resident, now.resident)}
	}
	return least
}

func (s *shelf) footprint() (f footprint) {
	s.t.Helper()
	proc := fmt.Sprintf("/proc/%d", s.process.Process.Pid)
	open, err := os.ReadDir(proc + "/fd")
	if err != nil {
		s.t.Fatal(err)
	}
	f.files = len(open)
	status, err := os.ReadFile(proc + "/status")
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
		switch name {
		case "VmRSS":
			f.resident = n >> 10
		case "Threads":
			f.threads = n
		}
	}
	lists, _ := filepath.Glob(proc + "/task/*/children")
	for _, list := range lists {
		raw, _ := os.ReadFile(list)
		f.children += len(strings.Fields(string(raw)))
	}
	_ = filepath.WalkDir(filepath.Join(s.dir, "engines"), func(string, os.DirEntry, error) error {
		f.engineFiles++
		return nil
	})
	f.goroutines = s.metric("go_goroutines")
	return f
}

// metric reads a number without labels from the node's metrics.
func (s *shelf) metric(name string) int {
	s.t.Helper()
	_, raw, err := call(s.t.Context(), "GET", "http://"+s.api+"/metrics", s.key, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for lines := bufio.NewScanner(strings.NewReader(string(raw))); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				s.t.Fatal(err)
			}
			return int(n)
		}
	}
	s.t.Fatalf("there is no metric %s", name)
	return 0
}
