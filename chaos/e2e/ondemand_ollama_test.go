//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestOllamaOnDemand: the same with an engine that nobody here wrote. Many requests
// start one server, the other model's request ends it, and nothing is left.
func TestOllamaOnDemand(t *testing.T) {
	s := newShelf(t, 1, "--engines-ollama", ollamaBinary(t))
	for _, name := range []string{"a", "b"} {
		s.deploy(name, 600, "--engine", "ollama", "--min-resident", "1s")
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if err := s.ask(t.Context(), "a", i%2 == 0); err != nil {
				t.Errorf("request %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if n := s.loads(""); n != 1 {
		t.Errorf("%d loads", n)
	}
	s.mustAsk("b")
	if a, b, n := s.stands("a"), s.stands("b"), s.loads("b"); a != "cold" || b != "ready" || n != 1 {
		t.Errorf("a is %s, b is %s after %d loads", a, b, n)
	}
	for _, name := range []string{"a", "b"} {
		s.must(nil, "deployments", "rm", name, "--data", s.dir)
	}
	within(t, 30*time.Second, "no process is left", func() bool { return len(s.instances()) == 0 && s.rooms() == 0 })
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
