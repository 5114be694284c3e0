package relay

import (
	"runtime"
	"sync"
	"testing"
)

// TestCrew: hands are used again, no more than so many wait, and none does after the end.
func TestCrew(t *testing.T) {
	var c crew
	before := runtime.NumGoroutine()
	for range 100 {
		ran := make(chan struct{})
		c.run(func() { close(ran) })
		<-ran
		eventually(t, "a hand that waits", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.mu.idle) == 1 })
	}
	if n := runtime.NumGoroutine(); n > before+1 {
		t.Errorf("%d goroutines became %d", before, n)
	}
	var all sync.WaitGroup
	hold := make(chan struct{})
	for range mostIdle + 10 {
		all.Add(1)
		c.run(func() { defer all.Done(); <-hold })
	}
	close(hold)
	all.Wait()
	eventually(t, "as many hands as may wait", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.mu.idle) == mostIdle })
	late := make(chan struct{})
	c.run(func() { <-late })
	c.close()
	if len(c.mu.idle) != 0 {
		t.Errorf("%d wait after the end", len(c.mu.idle))
	}
	close(late)
	eventually(t, "the end of all", func() bool { return runtime.NumGoroutine() <= before })
	if len(c.mu.idle) != 0 {
		t.Errorf("%d wait after the end", len(c.mu.idle))
	}
}
