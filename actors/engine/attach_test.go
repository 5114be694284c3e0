package engine

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lotabots/lotabots/actors/engine/account"
	"github.com/lotabots/lotabots/actors/shim"
	"github.com/lotabots/lotabots/cluster/spec"
)

// A lingering is a node in a process of its own, whose engine is to outlive it.
type lingering struct {
	path, record, run string
	cmd               *exec.Cmd
	out               io.Reader
}

func linger(t *testing.T, mode string, more ...string) *lingering {
	t.Helper()
	l := &lingering{run: t.TempDir()}
	l.path, l.record = fake(t, LlamaServer, mode)
	l.cmd = exec.Command(os.Args[0], append([]string{l.run, l.path}, more...)...)
	l.cmd.Env = append(os.Environ(), "LOTABOTS_ENGINE_TEST=lingering")
	var err error
	if l.out, err = l.cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.kill)
	return l
}

func (l *lingering) kill() {
	_ = l.cmd.Process.Kill()
	_ = l.cmd.Wait()
}

func (l *lingering) started(t *testing.T) {
	t.Helper()
	line := make([]byte, 200)
	if n, err := l.out.Read(line); err != nil || !strings.Contains(string(line[:n]), "started <nil>") {
		t.Fatalf("%q, %v", line[:n], err)
	}
}

// launched waits for the program's start and returns its child.
func (l *lingering) launched(t *testing.T) int {
	t.Helper()
	until(t, 30*time.Second, "the program is launched", func() bool { return len(noted(t, l.record)) > 0 })
	return noted(t, l.record)[0].Child
}

// next is the node's next process.
func (l *lingering) next(t *testing.T) *Presets {
	t.Helper()
	p := New(Config{RunDir: l.run, LlamaServer: l.path, Shim: testShim, Node: "n1", Boot: 101, Linger: time.Hour, Grace: 50 * time.Millisecond})
	t.Cleanup(p.Close)
	return p
}

// again takes over the one engine that is found.
func again(t *testing.T, p *Presets, ready bool) *local {
	t.Helper()
	found := p.Find(t.Context())
	if len(found) != 1 || found[0].Instance != "lota-1" || found[0].Preset != LlamaServer && found[0].Preset != Embedded || string(found[0].Placement) != "placement" {
		t.Fatalf("found %+v", found)
	}
	if got := p.left.engines["lota-1"].kept.Ready; got != ready {
		t.Errorf("ready: %t", got)
	}
	e, ok := p.Attach("lota-1")
	if !ok {
		t.Fatal("it cannot be attached")
	}
	t.Cleanup(func() { stop(t, e) })
	if _, twice := p.Attach("lota-1"); twice {
		t.Error("it is attached twice")
	}
	return e.(*local)
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// A node that is killed while an engine loads: the next one goes on with the load.
func TestNodeIsKilledWhileLoading(t *testing.T) {
	l := linger(t, "slow")
	child := l.launched(t)
	l.kill()
	e := again(t, l.next(t), false)
	failed := make(chan error, 1)
	go func() { failed <- e.Start(within(t)) }()
	if err := os.WriteFile(l.record+".loaded", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	l.serves(t, e, child)
}

// serves checks that the engine is the one that was launched first, and works.
func (l *lingering) serves(t *testing.T, e *local, child int) {
	t.Helper()
	r, err := e.Do(within(t), "/v1/chat/completions", Head{}, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if starts := noted(t, l.record); len(starts) != 1 || starts[0].Child != child || !alive(child) {
		t.Errorf("%d loads", len(starts))
	}
	if r.StatusCode != 200 || e.Slots() != 2 || e.Context() != 1024 {
		t.Errorf("status %d, %d slots of %d", r.StatusCode, e.Slots(), e.Context())
	}
	stop(t, e)
	gone(t, e.presets, e)
	until(t, 30*time.Second, "its own process is gone", func() bool { return !alive(child) })
}

func TestNodeIsKilledWhileServing(t *testing.T) {
	l := linger(t, "")
	l.started(t)
	child := l.launched(t)
	session, _, _ := syscall.RawSyscall(syscall.SYS_GETSID, uintptr(child), 0, 0)
	identity := fmt.Sprintf("%d %s", session, shim.Born(int(session)))
	l.kill()
	e := again(t, l.next(t), true)
	if had := e.Identity(); had != "" {
		t.Errorf("%q before it is taken over", had)
	}
	if err := e.Start(within(t)); err != nil {
		t.Fatal(err)
	}
	if e.Identity() != identity {
		t.Errorf("it is %q, and was %q", e.Identity(), identity)
	}
	l.serves(t, e, child)
}

// Engines of builds that gave them no directory of their own go on, unless engines run as another user now.
func TestEngineOfAnEarlierBuild(t *testing.T) {
	for _, user := range []*account.Account{nil, {Name: "other", UID: uint32(os.Getuid()) + 1, GID: uint32(os.Getgid()) + 1}} {
		l := linger(t, "")
		l.started(t)
		child := l.launched(t)
		l.kill()
		if err := os.RemoveAll(filepath.Join(l.run, "lota-1"+roomEnd, homeName)); err != nil {
			t.Fatal(err)
		}
		p := l.next(t)
		if p.config.User = user; user != nil {
			if found := p.Find(t.Context()); len(found) > 0 {
				t.Errorf("found %+v", found)
			}
			until(t, 30*time.Second, "it is ended", func() bool { return !alive(child) })
			continue
		}
		e := again(t, p, true)
		if err := e.Start(within(t)); err != nil {
			t.Fatal(err)
		}
		l.serves(t, e, child)
	}
}

// A node that is killed while it stops an engine: the next one sees to the end.
func TestNodeIsKilledWhileStopping(t *testing.T) {
	l := linger(t, "stubborn", "stop")
	l.started(t)
	child := l.launched(t)
	time.Sleep(100 * time.Millisecond) // SIGTERM is on its way, the kill an hour away
	l.kill()
	p := l.next(t)
	if found := p.Find(t.Context()); len(found) > 0 {
		for _, f := range found { // killed before it had asked for the stop
			p.Disown(f.Instance, "test")
		}
		p.Close()
	}
	until(t, 30*time.Second, "the engine's process is gone", func() bool { return !alive(child) })
	l.empty(t)
}

func (l *lingering) empty(t *testing.T) {
	t.Helper()
	until(t, 30*time.Second, "only the log is left", func() bool {
		entries, err := os.ReadDir(l.run)
		return err == nil && len(entries) == 1 && strings.HasSuffix(entries[0].Name(), logEnd)
	})
}

// shimOf is the process of the room's shim.
func (l *lingering) shimOf(t *testing.T) int {
	t.Helper()
	all, _ := os.ReadDir("/proc")
	for _, d := range all {
		if cwd, err := os.Readlink("/proc/" + d.Name() + "/cwd"); err == nil && strings.HasPrefix(cwd, l.run) {
			line, _ := os.ReadFile("/proc/" + d.Name() + "/cmdline")
			if words := strings.Split(string(line), "\x00"); words[0] == os.Args[0] && len(words) > 1 && words[1] == "lota-1.d" {
				pid := 0
				for _, c := range d.Name() {
					pid = 10*pid + int(c-'0')
				}
				return pid
			}
		}
	}
	t.Fatal("there is no shim")
	return 0
}

// Node, shim and engine are killed in any company: nothing stays, and the next node starts afresh.
func TestAllAreKilled(t *testing.T) {
	for name, kill := range map[string]func(l *lingering, shim int){
		"node and shim":   func(l *lingering, shim int) { l.kill(); _ = syscall.Kill(shim, syscall.SIGKILL) },
		"shim and node":   func(l *lingering, shim int) { _ = syscall.Kill(shim, syscall.SIGKILL); l.kill() },
		"node and engine": func(l *lingering, _ int) { l.kill(); _ = syscall.Kill(engineOf(l), syscall.SIGKILL) },
	} {
		for _, mode := range []string{"", "slow"} {
			t.Run(name+" "+mode, func(t *testing.T) {
				l := linger(t, mode)
				child := l.launched(t)
				if mode == "" {
					l.started(t)
				}
				kill(l, l.shimOf(t))
				until(t, 30*time.Second, "the engine's process is gone", func() bool { return !alive(child) })
				p := l.next(t)
				for _, f := range p.Find(t.Context()) { // the shim may be at it still
					p.Disown(f.Instance, "test")
				}
				p.Close()
				l.empty(t)
			})
		}
	}
}

// engineOf is the engine's process, the leader of its child's session.
func engineOf(l *lingering) int {
	for _, c := range noted(&testing.T{}, l.record) {
		if pid, err := syscall.Getpgid(c.Child); err == nil {
			return pid
		}
	}
	return -1
}

// A node that ends well leaves its engines to the next; the real one, by a way too long for a socket.
func TestLeave(t *testing.T) {
	first := presets(t, true, time.Second)
	first.config.Node, first.config.Boot, first.config.Linger = "n1", 1, time.Hour
	s := demoSpec(2)
	s.Placement = []byte("placement")
	e := start(t, first, s)
	first.Leave()
	stop(t, e)
	if e.Err() != nil || !closed(e.Done()) || !alive(e.mu.process.pid) {
		t.Fatalf("it was not left: %v", e.Err())
	}
	second := New(first.config)
	second.config.Boot = 2
	next := again(t, second, true)
	if err := next.Start(within(t)); err != nil {
		t.Fatal(err)
	}
	if next.mu.process.pid != e.mu.process.pid || next.Slots() != e.Slots() || next.Context() != e.Context() {
		t.Errorf("another engine: process %d, %d slots of %d", next.mu.process.pid, next.Slots(), next.Context())
	}
	stream(within(t), t, next, 20)
	stop(t, next)
	gone(t, second, next)
}

// Leave in the middle of a start: the next process goes on with it.
func TestLeaveWhileLoading(t *testing.T) {
	path, record := fake(t, LlamaServer, "slow")
	l := &lingering{path: path, record: record, run: t.TempDir()}
	first := l.next(t)
	s := serverSpec()
	s.Placement = []byte("placement")
	e, err := first.Open(s)
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() { failed <- e.Start(within(t)) }()
	child := l.launched(t)
	first.Leave()
	stop(t, e)
	if err := <-failed; err == nil || !strings.Contains(err.Error(), "it was stopped") {
		t.Error(err)
	}
	next := again(t, l.next(t), false)
	if err := os.WriteFile(record+".loaded", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := next.Start(within(t)); err != nil {
		t.Fatal(err)
	}
	l.serves(t, next, child)
}

// What is found and not to be understood, or not wanted, is ended.
func TestUnwantedEnginesEnd(t *testing.T) {
	for name, spoil := range map[string]func(p *process) error{
		"another generation": func(p *process) error { return p.link.Note(context.Background(), []byte(`{"v":99}`)) },
		"no note":            func(p *process) error { return p.link.Note(context.Background(), nil) },
		"disowned":           func(*process) error { return nil },
		"unattached":         func(*process) error { return nil },
	} {
		path, record := fake(t, LlamaServer, "")
		l := &lingering{path: path, record: record, run: t.TempDir()}
		first := l.next(t)
		e := start(t, first, serverSpec())
		e.tenants.Mix() // the note of a shared engine stays as it is
		if err := spoil(e.mu.process); err != nil {
			t.Fatal(err)
		}
		first.Leave()
		stop(t, e)
		p := l.next(t)
		found := p.Find(t.Context())
		if want := name == "disowned" || name == "unattached"; (len(found) == 1) != want {
			t.Errorf("%s: found %v", name, found)
		}
		if name == "disowned" {
			p.Disown("lota-1", "test")
		}
		p.Close()
		if alive(e.mu.process.pid) {
			t.Errorf("%s: it still runs", name)
		}
		l.empty(t)
	}
}

func FuzzKept(f *testing.F) {
	f.Add(kept{V: 1, Spec: Spec{Instance: "a", Preset: LlamaServer}, Base: "http://127.0.0.1:1"}.encode())
	f.Add(kept{V: 1, Spec: Spec{Instance: "a", Preset: Embedded}, Socket: "../s"}.encode())
	f.Add(kept{V: 1, Spec: Spec{Instance: "a", Preset: LlamaServer}, Base: "http://10.0.0.1:1"}.encode())
	f.Fuzz(func(t *testing.T, raw []byte) {
		k, err := decodeKept(raw)
		if err != nil {
			return
		}
		if k.Spec.Instance == spec.InstanceID("") || k.Spec.Preset == External {
			t.Errorf("taken: %+v", k)
		}
		here, err := os.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer here.Close()
		if w, err := k.web(&room{dir: here.Name(), here: here}); err == nil && w.socket == "" && w.base.Hostname() != "127.0.0.1" {
			t.Errorf("it would be asked at %s", w.base)
		}
	})
}

// freeze stops a process, and returns when it stands still: one of several threads runs on for a moment.
func freeze(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	until(t, 30*time.Second, "the process stands still", func() bool {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		for _, task := range tasks {
			raw, err := os.ReadFile(task)
			if _, after, ok := strings.Cut(string(raw), ") "); err == nil && ok && after[0] != 'T' {
				return false
			}
		}
		return len(tasks) > 0
	})
}

// TestShimThatStandsStill: a node's start does not wait for a shim that answers nothing; it is killed, and its
// engine with it, so that another can be started in its place.
func TestShimThatStandsStill(t *testing.T) {
	l := linger(t, "")
	l.started(t)
	child, shim := l.launched(t), l.shimOf(t)
	l.kill()
	freeze(t, shim)
	p := l.next(t)
	began := time.Now()
	if found := p.Find(t.Context()); len(found) > 0 {
		t.Errorf("found %+v", found)
	}
	if took := time.Since(began); took > findTime+20*time.Second {
		t.Errorf("the start was held up for %s", took)
	}
	until(t, 30*time.Second, "its engine is gone", func() bool { return !alive(child) && !alive(shim) })
	until(t, 30*time.Second, "its room is free", func() bool {
		r, err := p.take("lota-1")
		if err != nil {
			return false
		}
		r.leave()
		return true
	})
}

// TestNewerPlacementIsNoted: the node's next process finds an engine under the placement that was confirmed last.
func TestNewerPlacementIsNoted(t *testing.T) {
	l := linger(t, "")
	l.started(t)
	child := l.launched(t)
	l.kill()
	first := l.next(t)
	e := again(t, first, true)
	if err := e.Confirm(within(t), 9, []byte("newer")); err == nil {
		t.Error("confirmed before it serves")
	}
	if err := e.Start(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := e.Confirm(within(t), 9, []byte("newer")); err != nil {
		t.Fatal(err)
	}
	first.Leave()
	stop(t, e)
	second := New(Config{RunDir: l.run, LlamaServer: l.path, Shim: testShim, Node: "n1", Boot: 102, Linger: time.Hour, Grace: 50 * time.Millisecond})
	t.Cleanup(second.Close)
	found := second.Find(t.Context())
	if len(found) != 1 || found[0].Epoch != 9 || string(found[0].Placement) != "newer" {
		t.Fatalf("found %+v", found)
	}
	next, ok := second.Attach("lota-1")
	if !ok {
		t.Fatal("it cannot be had")
	}
	if err := next.Start(within(t)); err != nil {
		t.Fatal(err)
	}
	opened, _ := next.(*local)
	l.serves(t, opened, child)
}

// TestShimThatStandsStillDuringALoad: the load ends long before its limit, and nothing of the engine stays.
func TestShimThatStandsStillDuringALoad(t *testing.T) {
	path, record := fake(t, LlamaServer, "slow")
	l := &lingering{path: path, record: record, run: t.TempDir()}
	p := l.next(t)
	e, err := p.Open(serverSpec())
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() { failed <- e.Start(t.Context()) }()
	child, shim := l.launched(t), l.shimOf(t)
	freeze(t, shim)
	select {
	case err := <-failed:
		if err == nil || !strings.Contains(err.Error(), "its shim answered nothing") {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the load goes on")
	}
	until(t, 30*time.Second, "nothing is left", func() bool { return !alive(child) && !alive(shim) })
}
