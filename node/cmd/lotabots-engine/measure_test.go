package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/lotabots/lotabots/actors/llamacpp/library"
	"github.com/lotabots/lotabots/actors/llamacpp/tuning"
)

// A first start measures this very processor, and what it finds is used and kept.
func TestFirstStartMeasures(t *testing.T) {
	dir, err := library.Find("")
	if err != nil {
		t.Skipf("llama.cpp's libraries are not here: %v", err)
	}
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	file := filepath.Join(cache, "lotabots", "engine-tuning.json")
	p := start(t, "serve", "--socket", filepath.Join(t.TempDir(), "s"), "--model", "../../demo/lota-tiny.gguf", "--libraries", dir)
	var kept struct{ Choices map[string]tuning.Choice }
	for end := time.Now().Add(60 * time.Second); len(kept.Choices) == 0; time.Sleep(20 * time.Millisecond) {
		if raw, err := os.ReadFile(file); err == nil {
			if err := json.Unmarshal(raw, &kept); err != nil {
				t.Fatal(err)
			}
		}
		if time.Now().After(end) {
			t.Fatalf("nothing was kept: %s", p.stderr.String())
		}
	}
	for key, c := range kept.Choices {
		if c.Threads < 1 || c.Prefill <= 0 || c.Decode <= 0 {
			t.Errorf("%s: %+v", key, c)
		}
		t.Logf("%s: %+v", key, c)
	}
}

func TestMeasurePrintsResults(t *testing.T) {
	if _, err := library.Find(""); err != nil {
		t.Skipf("llama.cpp's libraries are not here: %v", err)
	}
	run := func(args ...string) ([]byte, error) {
		c := exec.Command(os.Args[0], append([]string{"measure", "--within", "50ms", "--model"}, args...)...)
		c.Env = append(os.Environ(), "LOTABOTS_ENGINE_TEST=run")
		return c.Output()
	}
	out, err := run("../../demo/lota-tiny.gguf")
	if results := tuning.Results(out); err != nil || len(results) == 0 || results[0].Threads != 1 {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := run("../../demo/lota-tiny.gguf", "--variant", "none"); err == nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("a variant that is not there: %s", out)
	}
}
