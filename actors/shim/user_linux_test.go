package shim

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A program of another user runs where it is told to, and gets nothing of the shim's privileges.
func TestAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("root alone may start programs as another user")
	}
	for name, leash := range map[string]bool{"by itself": false, "on a leash": true} {
		t.Run(name, func(t *testing.T) {
			said := t.TempDir()
			out, err := openOutput(filepath.Join(said, "log"))
			if err != nil {
				t.Fatal(err)
			}
			defer out.close()
			home := t.TempDir()
			if err := os.Chmod(filepath.Dir(home), 0o711); err != nil {
				t.Fatal(err)
			}
			p, err := startProcess(&Command{Path: "/bin/sh", Args: []string{"-c", "id -u; id -g; id -G; pwd; grep -E 'NoNewPrivs|CapEff' /proc/self/status"},
				Env: []string{"PATH=/bin:/usr/bin"}, Dir: home, User: &User{UID: 64123, GID: 64124, Groups: []uint32{64125}}, Leash: leash}, out, nil)
			if err != nil {
				t.Fatal(err)
			}
			select {
			case <-p.done:
			case <-time.After(10 * time.Second):
				t.Fatal("it does not end")
			}
			want := "64123 | 64124 | 64124 64125 | " + home + " | CapEff:\t0000000000000000 | NoNewPrivs:\t1"
			if got := out.last(); got != want || !strings.Contains(p.how, "exit status 0") {
				t.Errorf("%s, it says %q, want %q", p.how, got, want)
			}
		})
	}
}
