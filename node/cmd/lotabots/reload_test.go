package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lotabots/lotabots/node"
)

// TestHangupReloads runs the node of a directory as a person does, and sends SIGHUP.
func TestHangupReloads(t *testing.T) {
	data := filepath.Join(t.TempDir(), "n1")
	if _, err := run(t, "init", "--data", data, "--id", "n1", "--cluster-listen", freePort(t), "--api-listen", freePort(t), "--devices-kind", "cpu"); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "log")
	log, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	stderr := os.Stderr
	os.Stderr = log
	defer func() { os.Stderr = stderr }()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		root := rootCommand()
		root.SetArgs([]string{"node", "run", "--data", data, "--api-shutdown-timeout", "1s"})
		ended <- root.ExecuteContext(ctx)
	}()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	logged := func(what string) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(raw), what) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s is not in\n%s", what, raw)
			}
		}
	}
	logged("node runs")
	edit := func(old, next string) {
		t.Helper()
		raw, err := os.ReadFile(node.ConfigFile(data))
		if err != nil || !strings.Contains(string(raw), old) {
			t.Fatalf("%q, %v\n%s", old, err, raw)
		}
		if err := os.WriteFile(node.ConfigFile(data), []byte(strings.Replace(string(raw), old, next, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	edit("queue-timeout: 10s", "queue-timeout: 11s")
	edit("shutdown-timeout: 30s", "shutdown-timeout: 31s") // which the flag stands over
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	logged(`"configuration reloaded","node":"n1","changed":1,"need_restart":0`)
	edit("level: info", "level: loud")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	logged("nothing has changed")
	edit("level: loud", "level: error")
	out, err := run(t, "node", "reload", "--data", data)
	if err != nil || !strings.Contains(out, "log.level") || !strings.Contains(out, "now") {
		t.Errorf("%s, %v", out, err)
	}
	if out, err = run(t, "node", "reload", "n1", "--data", data); err != nil || !strings.Contains(out, "nothing has changed") {
		t.Errorf("%s, %v", out, err)
	}
}
