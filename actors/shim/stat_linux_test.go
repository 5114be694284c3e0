package shim

import (
	"os/exec"
	"syscall"
	"testing"
)

func TestHungry(t *testing.T) {
	start := func(command string) int {
		t.Helper()
		c := exec.Command("/bin/sh", "-c", command)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
		return c.Process.Pid
	}
	becomes := func(what string, pid int, want bool) {
		t.Helper()
		until(t, what, func() bool { return hungry(pid) == want })
	}
	busy := start("while :; do :; done")
	becomes("one that computes is hungry", busy, true)
	if err := syscall.Kill(busy, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	becomes("one that is stopped is not", busy, false)
	becomes("one that sleeps is not", start("exec sleep 60"), false)
	becomes("one that is none is not", 1<<30, false)
}
