package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
