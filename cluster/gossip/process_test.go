package gossip

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// childSeed makes the test's binary run as a member of its own process.
const childSeed = "LOTABOTS_GOSSIP_TEST_SEED"

// child is member c, until its standard input ends.
func child(seed string) int {
	p := &testPort{fabric: newFabric()}
	var err error
	if p.tcp, p.udp, err = sockets(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer p.close()
	g, err := Start(config("c", p, seed))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	g.Shutdown()
	return 0
}

// TestStoppedProcessIsBackSoon: a process that stands still for longer than it
// takes to be called dead is alive again soon after it goes on, to all.
func TestStoppedProcessIsBackSoon(t *testing.T) {
	t.Parallel()
	f := newFabric()
	pa := listen(t, f)
	a, b := start(t, config("a", pa)), start(t, config("b", listen(t, f), pa.Addr()))
	c := exec.Command(os.Args[0])
	c.Env, c.Stderr = append(os.Environ(), childSeed+"="+pa.Addr()), os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = c.Process.Signal(syscall.SIGCONT)
		in.Close()
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	}()
	see(t, a, "a", "b", "c")
	see(t, b, "a", "b", "c")
	stopped := time.Now()
	if err := c.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	see(t, a, "a", "b")
	see(t, b, "a", "b")
	t.Logf("dead after %v", time.Since(stopped))
	time.Sleep(time.Until(stopped.Add(4 * time.Second)))
	if err := c.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	again := time.Now()
	see(t, a, "a", "b", "c")
	see(t, b, "a", "b", "c")
	took := time.Since(again)
	t.Logf("alive again after %v", took)
	if took > 20*time.Second { // 2 s on a machine that is not overloaded
		t.Errorf("a process that was stopped came back after %v", took)
	}
}
