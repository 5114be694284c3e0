package dev

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
)

func TestChooseEngine(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(home, "cache"))
	t.Setenv("PATH", home)
	t.Setenv("LOTABOTS_LLAMA_LIB", "")
	if got, err := ChooseEngine("external"); got != "external" || err != nil {
		t.Errorf("what was asked for became %q, %v", got, err)
	}
	_, err := ChooseEngine("")
	var e *spec.Error
	if !errors.As(err, &e) || !strings.Contains(e.Hint, "lotabots-engine install") || !strings.Contains(e.Hint, "ollama") {
		t.Errorf("without any engine: %v: both remedies are to be named", err)
	}
	if err := os.WriteFile(filepath.Join(home, "ollama"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := ChooseEngine(""); got != "ollama" || err != nil {
		t.Errorf("with Ollama on the PATH: %q, %v", got, err)
	}
	libraries := filepath.Join(home, "llama.cpp", "build", "bin")
	if err := os.MkdirAll(libraries, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"libllama.so", "libggml.so", "libggml-base.so"} {
		if err := os.WriteFile(filepath.Join(libraries, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := ChooseEngine(""); got != "embedded" || err != nil {
		t.Errorf("with a local build of llama.cpp: %q, %v", got, err)
	}
}
