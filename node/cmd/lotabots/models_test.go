package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestABarTellsHowFarItIs(t *testing.T) {
	b := &bar{verb: "importing", total: 100 << 20, done: 25 << 20}
	if got, want := b.line(5*time.Second), "importing [######..................]  25 % of 100.0 MiB, 5.0 MiB/s, 15s left"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := (&bar{verb: "pulling"}).line(time.Second); got != "pulling 0 B, 0 B/s" {
		t.Errorf("%q", got)
	}
	var out bytes.Buffer
	b = newBar(&out, "importing", 3)
	if raw, err := io.ReadAll(b.reader(strings.NewReader("abc"))); err != nil || string(raw) != "abc" || b.done != 3 {
		t.Errorf("%q, %v, %d", raw, err, b.done)
	}
	if b.end(); out.Len() > 0 {
		t.Errorf("a short one wrote %q to no terminal", out.String())
	}
}

func TestWhatOfADirectoryIsTheModels(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"config.json", "a.safetensors", "sub/x.json", ".git/config", ".gitattributes", "old.bin"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(name), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(dir, ".git/config"), filepath.Join(dir, "linked.json")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := modelFiles(dir, nil); err == nil || !strings.Contains(err.Error(), "--leave-out '*.bin'") {
		t.Errorf("pickles: %v", err)
	}
	files, total, err := modelFiles(dir, []string{"*.bin"})
	want := []string{"a.safetensors", "config.json", "linked.json", "sub/x.json"}
	if err != nil || !slices.Equal(files, want) || total == 0 {
		t.Fatalf("%v, %d, %v", files, total, err)
	}
	var b bytes.Buffer
	if err := writeTar(t.Context(), &b, dir, files); err != nil {
		t.Fatal(err)
	}
	archive := tar.NewReader(&b)
	for _, name := range want {
		h, err := archive.Next()
		if err != nil || h.Name != name || h.Typeflag != tar.TypeReg {
			t.Errorf("%v, %v, want %s", h, err, name)
		}
	}
}
