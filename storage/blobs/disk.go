package blobs

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// allocated is what a file, or a directory's files, take on the disk: a file with
// holes takes less than its size.
func allocated(name string) int64 {
	sum := int64(0)
	_ = filepath.WalkDir(name, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil //nolint:nilerr // it has gone meanwhile
		}
		if info, err := e.Info(); err == nil {
			if s, ok := info.Sys().(*syscall.Stat_t); ok {
				sum += s.Blocks * 512
			} else {
				sum += info.Size()
			}
		}
		return nil
	})
	return sum
}

// Free is what the store's disk has room for, bytes; below 0: it is not known.
func (s *Store) Free() int64 {
	var fs syscall.Statfs_t
	if syscall.Statfs(s.dir, &fs) != nil {
		return -1
	}
	return int64(uint64(fs.Bavail) * uint64(fs.Bsize)) //nolint:unconvert // other systems have other types
}

// InUse tells which models some process has open or mapped, as far as this one may
// look: engines, and shims that hold them. Where there is no /proc it tells none.
func (s *Store) InUse() map[string]bool {
	found := map[string]bool{}
	dir, err := filepath.EvalSymlinks(s.dir)
	if err != nil {
		return found
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return found
	}
	note := func(path string) {
		rest, ok := strings.CutPrefix(path, dir+"/")
		if !ok {
			return
		}
		first, _, _ := strings.Cut(rest, "/")
		if digest, ok := digestOf(first); ok {
			found[string(digest)] = true
		}
	}
	processes, _ := os.ReadDir("/proc")
	for _, p := range processes {
		if _, err := strconv.Atoi(p.Name()); err != nil {
			continue
		}
		open, _ := os.ReadDir("/proc/" + p.Name() + "/fd")
		for _, fd := range open {
			if to, err := os.Readlink("/proc/" + p.Name() + "/fd/" + fd.Name()); err == nil {
				note(to)
			}
		}
		maps, _ := os.ReadFile("/proc/" + p.Name() + "/maps")
		for line := range strings.SplitSeq(string(maps), "\n") {
			if i := strings.IndexByte(line, '/'); i >= 0 {
				note(line[i:])
			}
		}
	}
	return found
}
