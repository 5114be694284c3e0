package library

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
)

// home gives the test a cache and a PATH of its own.
func home(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CACHE_HOME", dir)
	t.Setenv(EnvDir, "")
	t.Setenv("PATH", dir)
	return dir
}

func fill(t *testing.T, dir string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range needed {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestOrder(t *testing.T) {
	home(t)
	_, err := Find("")
	var e *spec.Error
	if !errors.As(err, &e) || e.Code != spec.CodeEngineUnavailable || !strings.Contains(e.Hint, "lotabots-engine install") || !strings.Contains(e.Hint, EnvDir) {
		t.Errorf("nowhere: %v", err)
	}
	cache, err := Cache()
	if err != nil {
		t.Fatal(err)
	}
	expect := func(flag, want string) {
		t.Helper()
		if got, err := Find(flag); err != nil || got != want {
			t.Errorf("found %q, %v; want %q", got, err, want)
		}
	}
	expect("", fill(t, cache))
	env := fill(t, t.TempDir())
	t.Setenv(EnvDir, env)
	expect("", env)
	flag := fill(t, t.TempDir())
	expect(flag, flag)
	// what was named is not replaced by what would be found
	if got, err := Find(t.TempDir()); err == nil {
		t.Errorf("an empty directory was replaced by %s", got)
	}
	t.Setenv(EnvDir, t.TempDir())
	if got, err := Find(""); err == nil {
		t.Errorf("an empty %s was replaced by %s", EnvDir, got)
	}
}

func tarball(t *testing.T, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	zipped := gzip.NewWriter(&b)
	files := tar.NewWriter(zipped)
	for _, name := range names {
		if err := files.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: 1, Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := files.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAnotherPackageIsRefused(t *testing.T) {
	dir := home(t)
	if err := supported(); err != nil {
		t.Skip(err)
	}
	file := filepath.Join(dir, "x.tgz")
	if err := os.WriteFile(file, tarball(t, pinned.folder+"libllama.v0.5.0.so"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Install(context.Background(), file)
	if err == nil || !strings.Contains(err.Error(), "SHA-512") {
		t.Errorf("got %v", err)
	}
	if _, err := Find(""); err == nil {
		t.Error("something was installed")
	}
	if _, err := Install(context.Background(), ""); err == nil || !strings.Contains(hint(err), "Install npm") {
		t.Errorf("without npm: %v", err)
	}
}

// npm may be there and fail; what it said must come through.
func TestNpmsErrorIsShown(t *testing.T) {
	dir := home(t)
	if err := supported(); err != nil {
		t.Skip(err)
	}
	script := "#!/bin/sh\necho 'npm error network unreachable' >&2\nexit 1\n"
	if err := os.WriteFile(filepath.Join(dir, "npm"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := Install(context.Background(), "")
	if err == nil || !strings.Contains(err.Error(), "network unreachable") || !strings.Contains(hint(err), "install FILE.tgz") {
		t.Errorf("got %v", err)
	}
}

func TestUnpack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "cache")
	whole := tarball(t, "package/LICENSE", "package/package.json", pinned.folder+"llama-addon.node", pinned.folder+"libllama-common.so",
		pinned.folder+"libllama.v0.5.0.so", pinned.folder+"libggml.v0.5.0.so", pinned.folder+"libggml-base.so",
		pinned.folder+"../../../libggml-evil.so", "elsewhere/libggml-other.so")
	if err := unpackInto(dir, whole); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := "LICENSE.llama.cpp LICENSE.package libggml-base.so libggml-evil.so libggml.so libggml.v0.5.0.so libllama.so libllama.v0.5.0.so"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	other := filepath.Join(t.TempDir(), "b")
	if err := unpackInto(other, whole[:len(whole)/2]); err == nil {
		t.Error("half a tarball was unpacked")
	}
	if err := unpackInto(other, tarball(t, pinned.folder+"libggml-base.so")); err == nil {
		t.Error("a tarball without libllama was unpacked")
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(other), "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		root := t.TempDir()
		dir := filepath.Join(root, "in")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		_ = unpack(dir, b) // damaged input is an error; what matters is where it writes
		if entries, err := os.ReadDir(root); err != nil || len(entries) != 1 {
			t.Errorf("written outside: %v, %v", entries, err)
		}
	})
}

func hint(err error) string {
	var e *spec.Error
	if errors.As(err, &e) {
		return e.Hint
	}
	return ""
}
