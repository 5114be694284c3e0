package engine

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestResident(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("told on Linux alone")
	}
	if got := resident(os.Getpid()); got < 1<<20 || got > 1<<40 {
		t.Errorf("this process has %d bytes", got)
	}
	if got := resident(0) + resident(-5); got != 0 {
		t.Errorf("nobody has %d bytes", got)
	}
}

// TestStarved: a process that has more to do than there are processors waits for them.
func TestStarved(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("told on Linux alone")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4 * runtime.NumCPU()))
	before := starved(os.Getpid())
	var end atomic.Bool
	var all sync.WaitGroup
	for range 4 * runtime.NumCPU() {
		all.Go(func() {
			for !end.Load() {
			}
		})
	}
	time.Sleep(200 * time.Millisecond)
	end.Store(true)
	all.Wait()
	if got := starved(os.Getpid()) - before; got < 100*time.Millisecond {
		t.Errorf("four times as much as there are processors have waited %s in 200 ms", got)
	}
	if starved(0) != 0 {
		t.Error("nobody starves")
	}
}
