package account

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLookup(t *testing.T) {
	for text, want := range map[string]string{
		"nobody": "", "65534": "", "1500:1600": "", "no-such-user": `no user "no-such-user"`, "4000000001": "no user", "root": "as root", "0": "as root",
		"7:0": "in its group", "a:b": "is no user", "4294967295:1": "is no user", "1:2:3": "is no user", "": "no user",
	} {
		a, err := Lookup(text)
		if want == "" && (err != nil || a.UID == 0 || a.GID == 0 || a.Name != text) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %+v, %v", text, a, err)
		}
	}
	a, err := Lookup("1500:1600")
	if err != nil || a.UID != 1500 || a.GID != 1600 || len(a.Groups) > 0 {
		t.Errorf("%+v, %v", a, err)
	}
}

func FuzzNumbers(f *testing.F) {
	for _, text := range []string{"1:2", "0:1", ":", "x", "4294967295:4294967295"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		uid, gid, _ := strings.Cut(text, ":")
		if a, err := numbers(text, uid, gid); err == nil && (a.UID == 0 || a.GID == 0 || a.UID == nobodys || a.GID == nobodys) {
			t.Errorf("%q is %+v", text, a)
		}
	})
}

func TestBlocked(t *testing.T) {
	top := t.TempDir() // a directory that this test's user alone may enter is above it
	if err := os.Chmod(filepath.Dir(top), 0o711); err != nil {
		t.Fatal(err)
	}
	inner := filepath.Join(top, "a", "b")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(inner, "f")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(top, "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	stranger := &Account{Name: "stranger", UID: 59999, GID: 59999}
	own := &Account{Name: "own", UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	mate := &Account{Name: "mate", UID: 59999, GID: 59999, Groups: []uint32{uint32(os.Getgid())}}
	for _, c := range []struct {
		path              string
		mode              os.FileMode
		own, mate, others bool // let in
	}{
		{inner, 0o755, true, true, true}, {inner, 0o711, true, true, true}, {inner, 0o710, true, true, false}, {inner, 0o700, true, false, false},
		{inner, 0o744, true, false, false}, {file, 0o640, true, true, false}, {file, 0o604, true, false, true}, {file, 0o222, false, false, false},
	} {
		info, err := os.Stat(c.path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(c.path, c.mode); err != nil {
			t.Fatal(err)
		}
		for who, want := range map[*Account]bool{own: c.own, mate: c.mate, stranger: c.others} {
			err := who.Blocked(link)
			if (err == nil) != want || err != nil && !strings.Contains(err.Error(), c.path+", whose mode is") {
				t.Errorf("%s with mode %o, %s: %v", c.path, c.mode, who.Name, err)
			}
		}
		if err := os.Chmod(c.path, info.Mode()); err != nil {
			t.Fatal(err)
		}
	}
	if err := stranger.Shut(inner); err != nil {
		t.Error(err)
	}
	if err := stranger.Blocked(filepath.Join(top, "none")); err == nil {
		t.Error("what is not there can be read")
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	a := &Account{Name: "own", UID: 59999, GID: uint32(os.Getgid())}
	if err := a.Open(dir); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o710 {
		t.Errorf("%v, %v", info, err)
	}
}
