package main

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestAwaitEnd(t *testing.T) {
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		awaitEnd(context.Background(), child.Process.Pid)
		close(ended)
	}()
	select {
	case <-ended:
		t.Fatal("a living process was taken for dead")
	case <-time.After(300 * time.Millisecond):
	}
	if err := child.Process.Kill(); err != nil { // a zombie until Wait: it has ended all the same
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Error("the end of the process was not noticed")
	}
	_ = child.Wait()
}

func TestStartOf(t *testing.T) {
	if startOf(os.Getpid()) == "" {
		t.Error("this process has not started")
	}
	if got := startOf(1 << 30); got != "" {
		t.Errorf("a process that cannot be has started at %s", got)
	}
}
