package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// What a killed node leaves is gone after the next start; what runs is not touched.
func TestTidy(t *testing.T) {
	p := New(Config{RunDir: t.TempDir()})
	running, err := p.take("running")
	if err != nil {
		t.Fatal(err)
	}
	defer running.leave()
	left := filepath.Join(p.config.RunDir, "left.d", "models")
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range keptLogs + 5 {
		path := filepath.Join(p.config.RunDir, fmt.Sprintf("old-%02d.log", i))
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(time.Duration(i-1000) * time.Second)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	next, err := p.take("next")
	if err != nil {
		t.Fatal(err)
	}
	defer next.leave()
	for name, want := range map[string]bool{"left.d": false, "running.d": true, "next.d": true, "running.log": true, "old-00.log": false, "old-44.log": true} {
		if _, err := os.Stat(filepath.Join(p.config.RunDir, name)); (err == nil) != want {
			t.Errorf("%s is there: %t", name, err == nil)
		}
	}
	if logs, _ := filepath.Glob(filepath.Join(p.config.RunDir, "old-*.log")); len(logs) > keptLogs {
		t.Errorf("%d logs", len(logs))
	}
}

// An engine can write in its room and beside it: what it puts there does not hold up the node.
func TestPipesHoldNobodyUp(t *testing.T) {
	p := New(Config{RunDir: t.TempDir()})
	run := p.config.RunDir
	pipe := func(parts ...string) {
		path := filepath.Join(append([]string{run}, parts...)...)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pipe("pipe.d")
	pipe("record.d", "engine.json")
	pipe("said.log")
	if err := os.Mkdir(filepath.Join(run, "device.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"device.d/engine.json": "/dev/zero", "elsewhere.d": t.TempDir()} {
		if err := os.Symlink(to, filepath.Join(run, link)); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	go func() {
		_, err := endOf(logOf(run, "said"), tailRead)
		if found := p.Find(t.Context()); len(found) > 0 {
			err = fmt.Errorf("found %v", found)
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil || strings.Contains(err.Error(), "found") {
			t.Errorf("a pipe was read as a log, or taken for an engine: %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the node waits for a pipe")
	}
	for _, name := range []string{"record.d", "device.d"} {
		if _, err := os.Stat(filepath.Join(run, name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
}

func TestFileName(t *testing.T) {
	for id, want := range map[string]string{
		"lota-1a2b": "lota-1a2b", "a:b-1": "a_b-1", "../../x": "_.._x", "..": "", "": "", "é/\x00": "___", strings.Repeat("x", 300): strings.Repeat("x", 200),
	} {
		if got := fileName(spec.InstanceID(id)); got != want {
			t.Errorf("%q becomes %q, want %q", id, got, want)
		}
	}
	if _, err := New(Config{RunDir: t.TempDir()}).take(".."); err == nil {
		t.Error("a room without a name")
	}
}
