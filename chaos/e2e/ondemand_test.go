//go:build e2e

package e2e

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestColdStart: a model that is not in memory is listed, is loaded once by many
// requests at a time, which all are answered, comes back from a crash and from a
// hang, is unloaded when idle, and loaded again. Removed, it leaves nothing.
func TestColdStart(t *testing.T) {
	s := newShelf(t, 1)
	s.deploy("a", 400)
	_, raw, err := call(t.Context(), "GET", "http://"+s.api+"/v1/models", s.key, nil)
	if err != nil || !strings.Contains(string(raw), `"id":"a"`) {
		t.Errorf("a cold model is not listed: %s (%v)", raw, err)
	}
	if pids := s.engines(""); len(pids) > 0 {
		t.Errorf("engines run before anybody has asked: %v", pids)
	}
	var wg sync.WaitGroup
	began := time.Now()
	for i := range 24 {
		wg.Go(func() {
			if err := s.ask(t.Context(), "a", i%2 == 0); err != nil {
				t.Errorf("request %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	t.Logf("24 requests to a cold model were answered within %v", time.Since(began).Round(time.Millisecond))
	if n, pids := s.loads("a"), s.engines("a"); n != 1 || len(pids) != 1 {
		t.Fatalf("%d loads, engines %v", n, pids)
	}
	for _, fault := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP} {
		s.recovers("a", fault)
	}
	s.must(nil, "deploy", "a", "--data", s.dir, "--model", "demo", "--on-demand", "--memory-mb", "400", "--keep-alive", "1s")
	s.mustAsk("a")
	within(t, 30*time.Second, "the idle model is unloaded", func() bool { return s.stands("a") == "cold" && len(s.engines("")) == 0 })
	s.mustAsk("a")
	s.must(nil, "deployments", "rm", "a", "--data", s.dir)
	within(t, 30*time.Second, "nothing is left of what was removed", func() bool {
		sockets, _ := filepath.Glob(filepath.Join(s.dir, "engines", "*.d"))
		return len(s.instances()) == 0 && len(s.engines("")) == 0 && len(sockets) == 0
	})
}

// recovers has the engine crash or hang while clients ask, and tells how soon they
// are served again.
func (s *shelf) recovers(name string, fault syscall.Signal) {
	s.t.Helper()
	before := s.engines(name)
	if len(before) != 1 {
		s.t.Fatalf("engines of %s: %v", name, before)
	}
	if err := syscall.Kill(before[0], fault); err != nil {
		s.t.Fatal(err)
	}
	began, failed := time.Now(), 0
	for {
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
		asked := time.Now()
		err := s.ask(ctx, name, true)
		cancel()
		if now := s.engines(name); err == nil && len(now) == 1 && now[0] != before[0] {
			break
		}
		if failed++; time.Since(began) > 2*time.Minute {
			s.t.Fatalf("%v after %v of %s: %v", time.Since(began), fault, name, err)
		}
		s.t.Logf("%v after %v, asked %v before: %v", time.Since(began).Round(time.Millisecond), fault, time.Since(asked).Round(time.Millisecond), err)
		time.Sleep(200 * time.Millisecond)
	}
	s.t.Logf("served again %v after %v, %d requests failed", time.Since(began).Round(time.Millisecond), fault, failed)
}

// TestEviction: of three models of which two fit, the least missed makes room for
// the third; one with requests never does, however little it is missed.
func TestEviction(t *testing.T) {
	s := newShelf(t, 1)
	for _, name := range []string{"a", "b", "c"} {
		s.deploy(name, 400, "--min-resident", "1s")
	}
	for _, name := range []string{"a", "b", "a", "a", "a"} {
		s.mustAsk(name)
	}
	time.Sleep(1200 * time.Millisecond) // all have served long enough to go
	s.mustAsk("c")
	if a, b, c := s.stands("a"), s.stands("b"), s.stands("c"); a != "ready" || b != "cold" || c != "ready" {
		t.Fatalf("a is %s, b %s, c %s: b is the least missed", a, b, c)
	}
	// c, asked once, is busy all the time now, and a is not.
	stop := s.busy("c", 2)
	within(t, 30*time.Second, "c has requests", func() bool { return s.of("c").Running > 0 })
	s.mustAsk("b")
	if a, b, c := s.stands("a"), s.stands("b"), s.stands("c"); a != "cold" || b != "ready" || c != "ready" {
		t.Errorf("a is %s, b %s, c %s: c had requests", a, b, c)
	}
	if n := stop(); n == 0 {
		t.Error("nobody asked c")
	}
	if n := s.loads("c"); n != 1 {
		t.Errorf("c was loaded %d times", n)
	}
}

// busy has so many clients ask for the model all the time, none of whom may fail.
// stop has them go, and counts their answers.
func (s *shelf) busy(name string, clients int) (stop func() int64) {
	ctx, cancel := context.WithCancel(s.t.Context())
	var wg sync.WaitGroup
	var answered atomic.Int64
	for i := range clients {
		wg.Go(func() {
			for ctx.Err() == nil {
				err := s.ask(ctx, name, i%2 == 0)
				switch {
				case err == nil:
					answered.Add(1)
				case ctx.Err() == nil:
					s.t.Errorf("%s: %v", name, err)
					return
				}
			}
		})
	}
	return func() int64 {
		cancel()
		wg.Wait()
		return answered.Load()
	}
}

// TestTurns: two models that are always busy, of which one fits, take turns of
// some ten seconds: both are served, no request fails, and they are not loaded
// more often than that.
func TestTurns(t *testing.T) {
	s := newShelf(t, 1)
	for _, name := range []string{"a", "b"} {
		s.deploy(name, 600)
	}
	began := time.Now()
	stopA, stopB := s.busy("a", 2), s.busy("b", 2)
	within(t, 3*time.Minute, "each had two turns", func() bool { return s.loads("a") >= 2 && s.loads("b") >= 2 })
	took, loads := time.Since(began), s.loads("")
	a, b := stopA(), stopB()
	t.Logf("%d loads in %v, %d answers of a and %d of b", loads, took.Round(time.Second), a, b)
	if a == 0 || b == 0 {
		t.Error("one got no turn")
	}
	if most := 2 + int(took/(10*time.Second)); loads > most {
		t.Errorf("loaded more than %d times: they drive each other out", most)
	}
	told := s.logged("instance is unloaded; the next request has it loaded again")
	if !slices.ContainsFunc(told, func(line map[string]any) bool { return line["cause"] == "memory" && line["deployment"] == "a" }) {
		t.Errorf("the log does not tell of a's eviction: %v", told)
	}
}
