package shim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	IfAsked()
	goleak.VerifyTestMain(m)
}

// A rig is a shim in a room of its own.
type rig struct {
	*Link
	room, log string
	claim     Claim
	state     *Description
}

func newRig(t *testing.T, linger time.Duration) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{room: filepath.Join(dir, "chat-1.d"), log: filepath.Join(dir, "chat-1.log"), claim: claimOf(5, 100, linger)}
	if err := os.Mkdir(r.room, 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := Lock(r.room)
	if err != nil {
		t.Fatal(err)
	}
	log, err := NewLog(r.log)
	if err != nil {
		t.Fatal(err)
	}
	if r.Link, err = Start(Options{Program: []string{os.Args[0]}, Room: r.room, Lock: lock, Log: log, Env: os.Environ()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if l, err := Dial(context.Background(), r.room); err == nil {
			_ = l.Stop(context.Background(), 0)
		}
		_ = r.conn.Close()
	})
	if _, err := r.Claim(within(t), r.claim); err != nil {
		t.Fatal(err)
	}
	return r
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// script has the shim run a shell's script, which may write to the room's parent.
func (r *rig) script(t *testing.T, text string, leash bool) *rig {
	t.Helper()
	var err error
	r.state, err = r.Launch(within(t), Command{Path: "/bin/sh", Args: []string{"-c", text}, Env: os.Environ(), Log: r.log, Leash: leash}, []byte("note"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// family starts a child in the engine's group and one that leaves its session, says their numbers and waits.
const family = `sleep 1000 & echo $! >../group; setsid sh -c 'echo $$ >../apart; exec sleep 1000' & while :; do sleep 1; done`

func (r *rig) number(t *testing.T, name string) (pid int) {
	t.Helper()
	until(t, name+" is told", func() bool {
		raw, _ := os.ReadFile(filepath.Join(filepath.Dir(r.room), name))
		pid, _ = strconv.Atoi(strings.TrimSpace(string(raw)))
		return pid > 0 && strings.HasSuffix(string(raw), "\n")
	})
	return pid
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(3 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

func alive(pid int) bool {
	s, ok := statOf(pid)
	return ok && s.state != 'Z'
}

// over waits for the link's end and checks that nothing is left.
func (r *rig) over(t *testing.T, pids ...int) Ending {
	t.Helper()
	select {
	case <-r.Done():
	case <-time.After(time.Minute):
		t.Fatal("the link does not end")
	}
	for _, pid := range append(pids, r.state.PID) {
		until(t, fmt.Sprintf("process %d is gone", pid), func() bool { return !alive(pid) })
	}
	until(t, "the room is gone", func() bool {
		_, err := os.Stat(r.room)
		return errors.Is(err, os.ErrNotExist)
	})
	return r.Ending()
}

func TestStopEndsAll(t *testing.T) {
	r := newRig(t, time.Hour).script(t, `trap '' TERM; `+family, true)
	group, apart := r.number(t, "group"), r.number(t, "apart")
	if err := r.Stop(within(t), 50*time.Millisecond); err != nil {
		t.Error(err)
	}
	if e := r.over(t, group, apart); e.Why != "it was stopped" || !strings.Contains(e.How, "killed") {
		t.Errorf("%+v", e)
	}
}

func TestEngineEndsByItself(t *testing.T) {
	r := newRig(t, time.Hour).script(t, `sleep 1000 & echo $! >../group; (setsid sh -c 'echo $$ >../apart; exec sleep 1000' &); while ! test -s ../apart; do sleep 0.01; done; echo last words; exit 3`, false)
	if e := r.over(t, r.number(t, "group"), r.number(t, "apart")); e.Why != "" || e.How != "its process ended: exit status 3" || e.Tail != "last words" || r.Tail() != "last words" {
		t.Errorf("%+v", e)
	}
}

// A shim that is killed takes its engine with it, and the node sweeps.
func TestShimIsKilled(t *testing.T) {
	for _, leash := range []bool{true, false} {
		r := newRig(t, time.Hour).script(t, family, leash)
		pids := []int{r.number(t, "group")}
		if apart := r.number(t, "apart"); r.state.Cgroup {
			pids = append(pids, apart)
		} else {
			t.Log("no cgroup of its own here: what has left the session is not looked for")
			defer func() { _ = syscall.Kill(apart, syscall.SIGKILL) }()
		}
		if err := syscall.Kill(r.state.Shim, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if e := r.over(t, pids...); !strings.Contains(e.How, "shim was killed") {
			t.Errorf("%+v", e)
		}
	}
}

// hang up is what the kernel does when the node is killed.
func TestNodeIsGone(t *testing.T) {
	r := newRig(t, 0)
	r.Release()
	until(t, "a shim without engine ends", func() bool { return !alive(r.shim) })

	r = newRig(t, 0).script(t, family, true)
	group, apart := r.number(t, "group"), r.number(t, "apart")
	r.Release()
	r.over(t) // of the link; then what it held
	for _, pid := range []int{r.state.PID, group, apart, r.shim} {
		until(t, fmt.Sprintf("process %d ends", pid), func() bool { return !alive(pid) })
	}
}

// The next process of the node finds the engine as it was; nobody's engine ends.
func TestLinger(t *testing.T) {
	const linger = 700 * time.Millisecond
	r := newRig(t, time.Minute).script(t, family, true)
	r.Release()
	next, err := Dial(within(t), r.room)
	if err != nil {
		t.Fatal(err)
	}
	d, err := next.Claim(within(t), claimOf(6, 101, linger))
	if err != nil || d.PID != r.state.PID || string(d.Note) != "note" || d.Phase != "running" || d.Claim.Epoch != 6 {
		t.Fatalf("%+v, %v", d, err)
	}
	if err := next.Note(within(t), []byte("another")); err != nil {
		t.Error(err)
	}
	time.Sleep(2 * linger) // claimed, it does not end
	if d, err = next.Describe(within(t)); err != nil || string(d.Note) != "another" || !alive(d.PID) {
		t.Fatalf("%+v, %v", d, err)
	}
	next.Release()
	for _, pid := range []int{r.state.PID, r.shim} {
		until(t, "nobody's engine ends", func() bool { return !alive(pid) })
	}
}

func TestClaims(t *testing.T) {
	r := newRig(t, time.Hour).script(t, family, true)
	second, err := Dial(within(t), r.room)
	if err != nil {
		t.Fatal(err)
	}
	defer second.conn.Close()
	expect := func(err error, code string) {
		t.Helper()
		refused := (*RefusalError)(nil)
		if !errors.As(err, &refused) || refused.Code != code {
			t.Errorf("%v, want %s", err, code)
		}
	}
	_, err = second.Claim(within(t), r.claim)
	expect(err, codeClaimed)
	expect(second.Note(within(t), []byte("mine")), codeState)
	_, err = second.Launch(within(t), Command{Path: "/bin/true"}, nil)
	expect(err, codeState)
	_, err = r.Launch(within(t), Command{Path: "/bin/true"}, nil)
	expect(err, codeState)

	newer := r.claim
	newer.Boot++
	if _, err := second.Claim(within(t), newer); err != nil {
		t.Fatal(err)
	}
	<-r.Done()
	if e := r.Ending(); !strings.Contains(e.How, "newer process") || !alive(r.state.PID) {
		t.Errorf("the displaced one: %+v", e)
	}
	fence := newer
	fence.Instance, fence.Epoch = "other", 9
	third, err := Dial(within(t), r.room)
	if err != nil {
		t.Fatal(err)
	}
	_, err = third.Claim(within(t), fence)
	expect(err, codeFenced)
	<-second.Done()
	if e := second.Ending(); !strings.Contains(e.Why, "instance other of epoch 9") {
		t.Errorf("%+v", e)
	}
	<-third.Done()
}

func TestLaunchThatFails(t *testing.T) {
	r := newRig(t, time.Hour)
	_, err := r.Launch(within(t), Command{Path: "/no/such/program", Log: r.log}, nil)
	if err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
	if err := r.Stop(within(t), 0); err != nil {
		t.Error(err)
	}
}

// A node of a later build is told what this shim speaks, and may ask again.
func TestLaterVersion(t *testing.T) {
	r := newRig(t, time.Hour)
	reply := make(chan answer, 1)
	r.mu.Lock()
	r.mu.waiting[7] = reply // before it is asked: an answer that nobody waits for is dropped
	r.mu.Unlock()
	if _, err := r.conn.Write([]byte(`{"v":99,"id":7,"do":"claim"}` + "\n")); err != nil {
		t.Fatal(err)
	}
	select {
	case a := <-reply:
		if a.Code != codeVersion || len(a.Speaks) != 2 {
			t.Errorf("%+v", a)
		}
	case <-within(t).Done():
		t.Fatal("no answer")
	}
	if _, err := r.Describe(within(t)); err != nil {
		t.Error(err)
	}
	if err := r.Stop(within(t), 0); err != nil {
		t.Error(err)
	}
}

// TestSweepFindsTheGroup: what a whole power cut of shim and node leaves in the session is found by number.
func TestSweepFindsTheGroup(t *testing.T) {
	all := map[int]stat{
		100: {start: 7, group: 100, session: 100, state: 'S'}, 101: {start: 8, group: 100, session: 100, state: 'S'},
		102: {start: 9, group: 102, session: 100, state: 'R'}, 103: {start: 9, group: 100, session: 100, state: 'Z'}, 200: {start: 1, group: 200, session: 200, state: 'S'},
	}
	if got := leftOf(record{PID: 100, Start: 7}, all); len(got) != 3 {
		t.Errorf("found %d", got)
	}
	if got := leftOf(record{PID: 100, Start: 6}, all); len(got) != 0 {
		t.Errorf("somebody else's number: %d", got)
	}
	delete(all, 100)
	if got := leftOf(record{PID: 100, Start: 7}, all); len(got) != 2 {
		t.Errorf("the leader is gone: %d", got)
	}
	for _, pid := range []int{0, 1, -1} {
		if got := leftOf(record{PID: pid}, all); len(got) != 0 {
			t.Errorf("nobody's number: %d", got)
		}
	}
}

// TestStopOfAShimThatStandsStill: it is killed as soon as it has not answered, and nothing of the engine stays.
func TestStopOfAShimThatStandsStill(t *testing.T) {
	r := newRig(t, time.Hour).script(t, family, true)
	pids := []int{r.number(t, "group"), r.number(t, "apart"), r.shim}
	r.freeze(t)
	began := time.Now()
	if err := r.Stop(within(t), time.Hour); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 40*time.Second { // 2 s on a machine that is not overloaded, and an hour of grace
		t.Errorf("it took %s", took)
	}
	if e := r.over(t, pids...); !strings.Contains(e.How, "answered nothing") {
		t.Errorf("%+v", e)
	}
}

// TestStopOfAShimThatStopsLater: one that has taken the order and stands still then is mute as well.
func TestStopOfAShimThatStopsLater(t *testing.T) {
	r := newRig(t, time.Hour).script(t, `trap '' TERM; `+family, true)
	pids := []int{r.number(t, "group"), r.number(t, "apart"), r.shim}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stopped, before := make(chan error, 1), r.heard.Load()
	go func() { stopped <- r.Stop(ctx, time.Hour) }()
	until(t, "the shim has taken the order", func() bool { return r.heard.Load() > before })
	r.freeze(t)
	cancel()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if e := r.over(t, pids...); !strings.Contains(e.How, "answered nothing") {
		t.Errorf("%+v", e)
	}
}

// freeze stops the shim, and returns when it stands still: a process of several threads runs on for a moment.
func (r *rig) freeze(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(r.shim, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	until(t, "the shim stands still", func() bool {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", r.shim))
		for _, task := range tasks {
			raw, err := os.ReadFile(task)
			if _, after, ok := strings.Cut(string(raw), ") "); err == nil && ok && after[0] != 'T' {
				return false
			}
		}
		return len(tasks) > 0
	})
}

// TestAttend: a shim that stands still is found and killed, and one that answers, or ends, is not.
func TestAttend(t *testing.T) {
	r := newRig(t, time.Hour).script(t, family, true)
	pids := []int{r.number(t, "group"), r.number(t, "apart"), r.shim}
	muted, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		r.Attend(func() { close(muted) })
	}()
	asked := r.heard.Load()
	until(t, "it is pinged", func() bool { return r.heard.Load() > asked+1 })
	select {
	case <-muted:
		t.Fatal("a shim that answers counts as dead")
	default:
	}
	if err := syscall.Kill(r.shim, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	<-muted
	if e := r.over(t, pids...); !strings.Contains(e.How, "answered nothing") {
		t.Errorf("%+v", e)
	}
	<-over
}

// A process that was stopped itself judges nobody by that time.
func TestAwake(t *testing.T) {
	now := time.Unix(1, 0)
	a := awake{last: now}
	for range 3 {
		now = now.Add(awakeStep)
		a.step(now, false)
	}
	if got := a.step(now.Add(time.Hour), false); got != 5*awakeStep {
		t.Errorf("%s count", got)
	}
	if got := a.step(now.Add(time.Hour+awakeStep), true); got != 5*awakeStep+awakeStep/hungryPart {
		t.Errorf("with a shim that waits for the machine %s count", got)
	}
}

func TestBelow(t *testing.T) {
	all := map[int]stat{10: {parent: 1, state: 'T'}, 11: {parent: 10, state: 'S'}, 12: {parent: 11, state: 'R'}, 13: {parent: 10, state: 'Z'}, 14: {parent: 13, state: 'S'}, 20: {parent: 1, state: 'S'}}
	got := below(10, all)
	if slices.Sort(got); !slices.Equal(got, []int{11, 12, 14}) {
		t.Errorf("%d", got)
	}
}
