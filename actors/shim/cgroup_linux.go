package shim

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A cgroup is the engine's own, of version 2, below the shim's. It limits nothing: it is there to be
// killed, with all that the engine has ever started. A nil one does nothing.
type cgroup struct {
	path string
	dir  *os.File // open while a process is to be started in it
}

const cgroupPrefix = "lotabots-"

// newCgroup makes one; nil where that cannot be: no version 2 here, or nobody has delegated us any.
func newCgroup(name string) *cgroup {
	parent := ownCgroup()
	if parent == "" {
		return nil
	}
	// Nodes that share a parent may have instances of one name: killing one must not end another's.
	path := filepath.Join(parent, cgroupPrefix+name+"-"+rand.Text()[:10])
	if err := os.Mkdir(path, 0o755); err != nil {
		return nil
	}
	g := openCgroup(path)
	if g == nil {
		_ = os.Remove(path)
		return nil
	}
	dir, err := os.Open(path)
	if err != nil {
		_ = os.Remove(path)
		return nil
	}
	g.dir = dir
	return g
}

// openCgroup is one that is there, if it can be killed (Linux 5.14) and is one of a shim's.
func openCgroup(path string) *cgroup {
	if !strings.HasPrefix(filepath.Base(path), cgroupPrefix) {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(path, "cgroup.kill"), os.O_WRONLY, 0)
	if err != nil {
		return nil
	}
	_ = f.Close()
	return &cgroup{path: path}
}

// ownCgroup is the directory of this process's cgroup; empty: it has none of version 2.
func ownCgroup() string {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	return findCgroup(own, mounts)
}

// findCgroup reads /proc/self/cgroup and /proc/self/mountinfo.
func findCgroup(own, mounts []byte) string {
	var path string
	found := false
	for line := range bytes.Lines(own) {
		if rest, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("0::")); ok {
			path, found = string(rest), true
		}
	}
	for line := range bytes.Lines(mounts) {
		before, after, ok := strings.Cut(string(line), " - ")
		f := strings.Fields(before)
		if !ok || len(f) < 5 || !strings.HasPrefix(after, "cgroup2 ") || strings.Contains(f[4], `\`) {
			continue
		}
		// The mount may begin below the hierarchy's root.
		below, inside := strings.CutPrefix(path, strings.TrimSuffix(f[3], "/"))
		if found && inside && !strings.Contains(path, "..") {
			return filepath.Join(f[4], below)
		}
	}
	return ""
}

// join has the process that is started with a be born in the cgroup.
func (g *cgroup) join(a *syscall.SysProcAttr) {
	if g != nil && g.dir != nil {
		a.UseCgroupFD, a.CgroupFD = true, int(g.dir.Fd())
	}
}

// kill ends every process in it.
func (g *cgroup) kill() {
	if g != nil {
		_ = os.WriteFile(filepath.Join(g.path, "cgroup.kill"), []byte("1"), 0)
	}
}

// remove takes it away, which works once its processes are gone.
func (g *cgroup) remove() {
	if g == nil {
		return
	}
	if g.dir != nil {
		_ = g.dir.Close()
	}
	for end := time.Now().Add(childWait); os.Remove(g.path) != nil && time.Now().Before(end); {
		if _, err := os.Stat(g.path); err != nil {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}
