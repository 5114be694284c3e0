package blobs

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// What is there already and what comes later can be read by who knows its name.
func TestShare(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "models")
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	early := importing(t, s, 1)
	modes(t, dir, 0o700, 0o600, early)
	if err := s.Share(os.Getgid()); err != nil {
		t.Fatal(err)
	}
	late := importing(t, s, 2)
	modes(t, dir, 0o710, 0o644, early, late)
	for _, inner := range []string{s.incoming(), s.partial(), s.damaged()} {
		modes(t, inner, 0o700, 0)
	}
}

func importing(t *testing.T, s *Store, seed uint64) string {
	t.Helper()
	m, err := s.Import("m", bytes.NewReader(model(seed, 1000)))
	if err != nil {
		t.Fatal(err)
	}
	path, ok := s.Path(m.GetDigest())
	if !ok {
		t.Fatal("it is not here")
	}
	return path
}

func modes(t *testing.T, dir string, ofDir, ofFiles os.FileMode, files ...string) {
	t.Helper()
	for i, path := range append([]string{dir}, files...) {
		want := ofFiles
		if i == 0 {
			want = ofDir
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %o", path, info.Mode(), err, want)
		}
	}
}
