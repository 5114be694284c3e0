package backup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestDirectory(t *testing.T) {
	dir, key, s := t.TempDir(), pair(t), filled(t, 2)
	began := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	save := func(cluster string, n int) string {
		t.Helper()
		m := Manifest{Cluster: cluster, Node: "n1", Index: s.Index(), Time: began.Add(time.Duration(n) * time.Hour)}
		path := filepath.Join(dir, Name(m))
		f, err := s.Freeze()
		try(t, err)
		defer f.Close()
		try(t, Create(path, func(w io.Writer) error {
			_, err := Write(w, f, nil, m, key.Recipient())
			return err
		}))
		return path
	}
	var paths []string
	for n := range 4 {
		paths = append(paths, save("lb-1", n))
	}
	other := save("lb-2", 0)
	if info, err := os.Stat(other); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v)", info.Mode(), err)
	}
	if err := Create(other, func(io.Writer) error { return nil }); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a backup was written over another: %v", err)
	}
	if err := Create(filepath.Join(dir, "x"+Extension), func(io.Writer) error { return io.ErrClosedPipe }); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
	for name, text := range map[string]string{
		"damaged" + Extension: "LOTABOTS-BACKUP 1 {", "notes.txt": "mine", "lotabots-lb-1-cut" + Extension + unfinished: "x", "lotabots-lb-12-cut" + Extension + unfinished: "x",
	} {
		try(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	all, err := List(dir)
	try(t, err)
	if len(all) != 6 || all[0].Path != paths[3] || !errors.Is(all[5].Err, ErrDamaged) || all[0].Err != nil || all[0].Size == 0 {
		t.Fatalf("listed: %+v", all)
	}
	removed, err := Prune(dir, "lb-1", 2)
	try(t, err)
	if fmt.Sprint(removed) != fmt.Sprint([]string{paths[1], paths[0]}) {
		t.Errorf("removed %v", removed)
	}
	left, err := os.ReadDir(dir)
	try(t, err)
	var names []string
	for _, e := range left {
		names = append(names, e.Name())
	}
	if len(names) != 6 || strings.Contains(fmt.Sprint(names), "lb-1-cut") || !strings.Contains(fmt.Sprint(names), "lb-12-cut") {
		t.Errorf("left: %q", names)
	}
}
