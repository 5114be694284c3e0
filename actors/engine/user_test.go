package engine

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lotabots/lotabots/actors/engine/account"
	"github.com/lotabots/lotabots/actors/llamacpp/library"
	"github.com/lotabots/lotabots/cluster/spec"
)

// stranger is a user that this machine need not know.
var stranger = &account.Account{Name: "stranger", UID: 64123, GID: 64124, Groups: []uint32{64125}}

// userPresets has the embedded engine run as another user, who can read all that it needs, and no more.
func userPresets(t *testing.T, deep bool) (*Presets, Spec) {
	t.Helper()
	if err := account.May(); err != nil {
		t.Skipf("engines cannot run as another user here: %v", err)
	}
	program := helper(t)
	p := presets(t, deep, time.Second)
	public := t.TempDir()
	letIn(t, filepath.Dir(public))
	p.config.Helper, p.config.Libraries = filepath.Join(public, helperName), filepath.Join(public, "lib")
	lend(t, program, p.config.Helper)
	libraries, err := library.Find("")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(p.config.Libraries, os.DirFS(libraries)); err != nil {
		t.Fatal(err)
	}
	s := demoSpec(2)
	s.Model = filepath.Join(public, "m.gguf")
	lend(t, demo, s.Model)
	p.config.User = stranger
	for dir := p.config.RunDir; ; dir = filepath.Dir(dir) {
		if err := stranger.Open(dir); err != nil {
			t.Fatal(err)
		}
		if filepath.Dir(dir) == filepath.Clean(os.TempDir()) {
			return p, s
		}
	}
}

func letIn(t *testing.T, dir string) {
	t.Helper()
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
}

func lend(t *testing.T, from, to string) {
	t.Helper()
	raw, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, raw, 0o755); err != nil {
		t.Fatal(err)
	}
}

// statusOf is a line of what the kernel tells of a process.
func statusOf(t *testing.T, pid int, name string) string {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.Join(strings.Fields(rest), " ")
		}
	}
	t.Fatalf("there is no %s", name)
	return ""
}

// asStranger checks whom the engine runs as, and what it may.
func asStranger(t *testing.T, e *local) {
	t.Helper()
	pid := e.mu.process.pid
	for name, want := range map[string]string{
		"Uid": "64123 64123 64123 64123", "Gid": "64124 64124 64124 64124", "Groups": "64125", "NoNewPrivs": "1",
		"CapPrm": strings.Repeat("0", 16), "CapEff": strings.Repeat("0", 16), "CapAmb": strings.Repeat("0", 16),
	} {
		if got := statusOf(t, pid, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	env := strings.Split(string(raw), "\x00")
	if err != nil || !slices.Contains(env, "HOME="+filepath.Join(e.presets.config.RunDir, "lota-1.d", "home")) {
		t.Errorf("%v; its environment is %q", err, env)
	}
	if owner := ownerOf(t, filepath.Join(e.presets.config.RunDir, "lota-1.d", "home", socketName)); owner != stranger.UID {
		t.Errorf("its socket is user %d's", owner)
	}
}

func ownerOf(t *testing.T, path string) uint32 {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Uid
}

// An engine of another user serves, is killed and started again, and is left to the node's next process.
func TestAnotherUser(t *testing.T) {
	for name, deep := range map[string]bool{"short path": false, "deep path": true} {
		t.Run(name, func(t *testing.T) {
			p, s := userPresets(t, deep)
			e := start(t, p, s)
			asStranger(t, e)
			if rest, err := io.ReadAll(stream(t.Context(), t, e, 20)); err != nil || !strings.Contains(string(rest), "[DONE]") {
				t.Errorf("%v, %q", err, rest)
			}
			room := filepath.Join(p.config.RunDir, "lota-1.d")
			for _, secret := range []string{filepath.Join(room, "engine.json"), filepath.Join(room, "shim"), filepath.Join(p.config.RunDir, "lota-1.log"), p.config.RunDir} {
				if err := stranger.Blocked(secret); err == nil {
					t.Errorf("it may read %s", secret)
				}
			}
			if err := syscall.Kill(e.mu.process.pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			select {
			case <-e.Done():
			case <-time.After(30 * time.Second):
				t.Fatal("its end is not told")
			}
			if ownerOf(t, filepath.Join(p.config.RunDir, Embedded+".cache")) != stranger.UID {
				t.Error("its cache is somebody else's")
			}
			again := start(t, p, s)
			asStranger(t, again)
			d, err := again.mu.process.link.Describe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(d.Shim, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			until(t, 30*time.Second, "the engine dies with its shim", func() bool { return !alive(d.PID) })
			stop(t, again)
			third := start(t, p, s)
			asStranger(t, third)
			stop(t, third)
			if left, err := os.ReadDir(room); !os.IsNotExist(err) {
				t.Errorf("the room is left, with %v", left)
			}
		})
	}
}

// What the user cannot read is named.
func TestUserCannotRead(t *testing.T) {
	p, s := userPresets(t, false)
	if err := os.Chmod(s.Model, 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := p.Open(s)
	if err != nil {
		t.Fatal(err)
	}
	err = e.Start(t.Context())
	if spec.CodeOf(err) == "" || err == nil || !strings.Contains(err.Error(), s.Model+", whose mode is 0600, does not let the user stranger in") {
		t.Errorf("%v", err)
	}
}

// A cache that was another user's is not believed.
func TestCacheChangesHands(t *testing.T) {
	if err := account.May(); err != nil {
		t.Skipf("files cannot be given to another user here: %v", err)
	}
	p := &Presets{}
	cache := filepath.Join(t.TempDir(), "x.cache")
	kept := filepath.Join(cache, "code")
	for _, step := range []struct {
		user *account.Account
		kept bool
	}{{stranger, false}, {stranger, true}, {nil, false}} {
		if err := p.ownCache(cache, step.user); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(kept); (err == nil) != step.kept {
			t.Errorf("for %v: %v", step.user, err)
		}
		if err := os.MkdirAll(cache, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(kept, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// An engine of another user is left to the node's next process, which takes it over while engines run as that user.
func TestAnotherUserIsLeft(t *testing.T) {
	for name, same := range map[string]bool{"the same user": true, "none now": false} {
		t.Run(name, func(t *testing.T) {
			first, s := userPresets(t, false)
			first.config.Node, first.config.Boot, first.config.Linger = "n1", 1, time.Hour
			s.Placement = []byte("placement")
			e := start(t, first, s)
			first.Leave()
			stop(t, e)
			second := New(first.config)
			t.Cleanup(second.Close)
			second.config.Boot = 2
			if !same {
				second.config.User = nil
				if found := second.Find(t.Context()); len(found) > 0 {
					t.Errorf("it is taken over: %v", found)
				}
				if err := os.RemoveAll(filepath.Join(second.config.RunDir, Embedded+".cache")); err != nil {
					t.Fatal(err)
				}
				gone(t, second, e)
				return
			}
			next := again(t, second, true)
			if err := next.Start(within(t)); err != nil {
				t.Fatal(err)
			}
			if next.mu.process.pid != e.mu.process.pid {
				t.Error("it was loaded again")
			}
			asStranger(t, next)
			stream(within(t), t, next, 20)
			stop(t, next)
		})
	}
}
