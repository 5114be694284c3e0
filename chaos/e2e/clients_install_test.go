//go:build e2e

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// nodeClients is a directory with the scripts for Node and the libraries that clients/package-lock.json
// names, which stay in the repository's cache until the lock changes.
func nodeClients(t *testing.T) string {
	t.Helper()
	lock := read(t, "clients/package-lock.json")
	dir := cache(t, "node-"+digest(lock))
	scripts, err := filepath.Glob("clients/*.mjs")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append(scripts, "clients/package.json", "clients/package-lock.json") {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(s)), read(t, s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	once(t, dir, func() {
		install(t, dir, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	})
	return dir
}

// pythonClients is a Python that has what the file names, in the repository's cache.
func pythonClients(t *testing.T, requirements string) string {
	t.Helper()
	file, err := filepath.Abs(requirements)
	if err != nil {
		t.Fatal(err)
	}
	dir := cache(t, "python-"+digest(read(t, file)))
	python := filepath.Join(dir, "bin", "python")
	once(t, dir, func() {
		install(t, dir, "python3", "-m", "venv", dir)
		install(t, dir, python, "-m", "pip", "install", "-q", "--no-deps", "-r", file)
	})
	return python
}

// install fails the test where a library cannot be had, because a run that has not tried the clients has
// shown nothing. Who works without the registries says so by LOTABOTS_TEST_CLIENTS=skip; CI ignores it.
func install(t *testing.T, dir, name string, arguments ...string) {
	t.Helper()
	cmd := exec.Command(name, arguments...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil:
	case os.Getenv("LOTABOTS_TEST_CLIENTS") == "skip" && os.Getenv("CI") == "":
		t.Skipf("NOT TRIED: %s %v: %v\n%s", name, arguments, err, out)
	default:
		t.Fatalf("%s %v: %v\n%s\nwithout the registries, LOTABOTS_TEST_CLIENTS=skip leaves the clients out", name, arguments, err, out)
	}
}

// once runs make in dir unless it has come to its end there before.
func once(t *testing.T, dir string, make func()) {
	t.Helper()
	mark := filepath.Join(dir, "complete")
	if _, err := os.Stat(mark); err == nil {
		return
	}
	make()
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// cache returns a directory that survives the test.
func cache(t *testing.T, name string) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("../../.cache/e2e", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func digest(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:6])
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func command(t *testing.T, dir string, environment []string, name string, arguments ...string) string {
	t.Helper()
	cmd := exec.Command(name, arguments...)
	cmd.Dir, cmd.Env = dir, environment
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, arguments, err, out)
	}
	return string(out)
}
